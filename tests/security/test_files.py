"""Other users of a machine read nothing below a state folder, and put nothing there; bundles take no keys along."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import stat
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestune.backends.slurm.backend import SlurmBackend
from orchestune.cli.develop.probe_parser import ParserProbe
from orchestune.cli.experiments import command_words
from orchestune.cli.inspect.output_file import output_file
from orchestune.cli.main import main
from orchestune.client.local import home as client_home
from orchestune.client.trackers.tensorboard import TensorBoard
from orchestune.client.trackers.tracker import TrackedTrial, TrackerFailed
from orchestune.config.experiment_file import parse
from orchestune.errors import BadInput, UsageError
from orchestune.images.runtime.private_python import _open_to_containers
from orchestune.ports.backend import WorkerOrder
from orchestune.server import main as server_main
from orchestune.server.file_permissions import tighten
from orchestune.system import private
from orchestune.system.private import refuse_foreign, replaceable_by_others
from orchestune.worker.files import artifacts
from orchestune.worker.files.view import TrialFolder
from orchestune.worker.processes import umask
from tests.testbeds.home import Home
from tests.unit.client.fake_server import FakeServer, status, trial

OTHERS = 0o077
NOBODY = 65534
NO_ID = 0xFFFFFFFF
LOOSE = ("orchestune.db", "orchestune.db-wal", "orchestune.db-shm", "orchestune.db.before-0024", "server.log.1")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def readable_by_others(folder: Path) -> list[str]:
    """Return the entries of a folder that other users may open.

    The code that a worker unpacks has the modes that its trials expect, in folders that are closed.
    """
    code = {"bundles", "workers"}  # files in folders of the user alone keep the modes that they had in the project
    paths = [path for path in (folder, *folder.rglob("*")) if not code.intersection(path.parts) or path.is_dir()]
    return [str(path.relative_to(folder)) for path in paths if not path.is_symlink() and mode(path) & OTHERS]


def plant(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what is at `path` to another user, or be another one where that needs root."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.lstat().st_uid + 1)


def share(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a group that has other members write to `path`, or claim so where a change of the group needs root."""
    if os.geteuid() == 0:
        os.chown(path, -1, NOBODY)
    else:
        monkeypatch.setattr(private, "_group_of_others", lambda number: "lab")
    path.chmod(0o2775)


@pytest.fixture
def careless() -> Iterator[None]:
    """A shell whose umask is 0."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
def test_whoever_made_the_state_folder_others_read_nothing_in_it_and_trials_keep_the_umask(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    marker = project / "written"
    (project / "train.sh").write_text(f"umask; echo x > {marker}; sleep 0.2; echo loss=1\n")
    with Home() as home:
        home.folder.chmod(0o775)
        for name in LOOSE[3:]:
            (home.folder / name).touch(0o644)
        words = ("run", "--minimize", "loss", "x=0.0..1.0", "--budget", "1", "--", "sh", "train.sh")
        home.run(*words, cwd=project)
        assert readable_by_others(home.folder) == []
        assert mode(marker) == 0o666, "the user's own files are as their shell makes them"
        assert "0000" in home.run("logs", "--tail", "20", "project", cwd=project).stdout
        assert "tightened 2 files below" in home.server_log()


def test_what_an_older_version_or_a_copy_left_open_is_closed_at_the_start(tmp_path: Path) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    for folder in (state, state / "files", state / "files" / "logs", state / "docker" / "server", elsewhere):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    loose = [state / name for name in LOOSE] + [state / "files" / "logs" / "1"]
    own = [elsewhere / name for name in LOOSE[:4]]
    strange = elsewhere / "others.db"
    for path in (*loose, *own, strange):
        path.touch()
        path.chmod(0o644)
    (state / "link").symlink_to(strange)
    assert tighten(state, elsewhere / "orchestune.db") == len(LOOSE) + len(own)
    assert {mode(path) & OTHERS for path in (state, state / "files", state / "files" / "logs", *own)} == {0}
    assert {mode(path) & OTHERS for path in loose[:-1]} == {0}
    assert (mode(strange), mode(elsewhere), mode(state / "docker" / "server")) == (0o644, 0o755, 0o755)
    assert tighten(state, elsewhere / "orchestune.db") == 0


def test_very_many_files_do_not_delay_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    (state / "files").mkdir(parents=True)
    state.chmod(0o755)
    for number in range(50):
        (state / "files" / str(number)).touch(0o666)
    monkeypatch.setattr("orchestune.server.file_permissions._MAX_ENTRIES", 20)
    assert tighten(state, None) <= 20
    assert mode(state) == 0o700, "nothing below can be reached"


def test_files_of_other_users_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    plant(state, monkeypatch)
    assert tighten(state, None) == 0


def test_a_state_folder_that_another_user_has_planted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "orchestune-ada"
    planted.mkdir(mode=0o775)
    plant(planted, monkeypatch)
    environ = {"ORCHESTUNE_HOME": str(planted)}
    for look in (client_home.state_folder, client_home.state_path):
        with pytest.raises(UsageError, match=r"cannot use the state folder .* it belongs to the user"):
            look(environ)
    for words in (["--embedded"], []):
        with pytest.raises(UsageError, match="cannot use the state folder"):
            server_main.main([*words, "--port", "0", "--state", str(planted)], unbuilt)
    assert list(planted.iterdir()) == []


def test_a_state_folder_that_another_user_plants_while_it_is_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, make = tmp_path / "orchestune-ada", client_home.create_private_folder

    def plant_first(folder: Path) -> Path:
        folder.mkdir()
        plant(folder, monkeypatch)
        return make(folder)

    monkeypatch.setattr(client_home, "create_private_folder", plant_first)
    with pytest.raises(UsageError, match="belongs to the user"):
        client_home.state_folder({"ORCHESTUNE_HOME": str(planted)})
    assert list(planted.iterdir()) == []


def test_a_folder_above_the_state_folder_that_another_user_plants_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above, make = tmp_path / "orchestune-ada", client_home.create_private_folder

    def plant_first(folder: Path) -> Path:
        above.mkdir()
        above.chmod(0o777)
        return make(folder)

    monkeypatch.setattr(client_home, "create_private_folder", plant_first)
    with pytest.raises(UsageError, match=r"other users can replace it through .*/orchestune-ada: every user"):
        client_home.state_folder({"ORCHESTUNE_HOME": str(above / "state")})
    assert list((above / "state").iterdir()) == []


def test_a_link_of_another_user_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, link = tmp_path / "own", tmp_path / "link"
    own.mkdir()
    link.symlink_to(own)
    refuse_foreign(link, "the state folder", "")
    plant(link, monkeypatch)
    with pytest.raises(UsageError, match="belongs to the user"):
        refuse_foreign(link, "the state folder", "")


def starts(state: Path) -> list[Callable[[], object]]:
    """Everything that reads what is in a state folder; the hosted server is the last."""
    environ, words = {"ORCHESTUNE_HOME": str(state)}, ["--port", "0", "--state", str(state)]
    return [
        partial(client_home.state_path, environ),
        partial(client_home.state_folder, environ),
        partial(server_main.main, ["--embedded", *words], unbuilt),
        partial(server_main.main, words, unbuilt),
    ]


@pytest.mark.parametrize(
    "name", ["orchestune.db", "orchestune.db-wal", "key", "token", "clusters.json", "files", "run"]
)
def test_what_another_user_has_put_into_a_state_folder_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / name).touch(mode=0o600)
    if os.geteuid() == 0:
        plant(state / name, monkeypatch)
    else:
        (state / name).chmod(0o666)
    for start in starts(state):
        with pytest.raises(UsageError, match=f"because of .*/{name}: ") as refused:
            start()
        assert "move it away" in refused.value.hint
    assert [path.name for path in state.iterdir()] == [name]


def test_a_state_folder_that_everybody_can_write_to_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    for start in starts(state):
        with pytest.raises(UsageError, match="every user of this machine can write to it"):
            start()


def test_a_state_folder_with_own_files_alone_is_closed_to_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "key").touch(mode=0o600)
    share(state, monkeypatch)
    client_home.state_path({"ORCHESTUNE_HOME": str(state)})
    assert mode(state) == 0o2755
    assert "removed the group's write permission from the state folder" in caplog.text
    share(state, monkeypatch)
    (state / "key").chmod(0o666)
    with pytest.raises(UsageError, match=r"because of .*/key: every user"):
        client_home.state_path({"ORCHESTUNE_HOME": str(state)})


def test_a_database_and_files_elsewhere_that_others_can_change_are_refused(tmp_path: Path) -> None:
    for option, name, value in (("--database-url", "db-wal", "sqlite:///{}/db"), ("--files", "files", "{}/files")):
        path = tmp_path / name
        path.mkdir()
        path.chmod(0o777)
        words = ["--port", "0", "--state", str(tmp_path / "state"), option, value.format(tmp_path)]
        with pytest.raises(UsageError, match=f"/{name}: every user"):
            server_main.main(words, unbuilt)
        path.rmdir()


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("folder_mode", [0o777, 0o1777])
def test_a_database_in_a_folder_where_others_can_plant_its_log_is_refused(
    tmp_path: Path, folder_mode: int, linked: bool
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "x.db").touch(0o600)
    shared.chmod(folder_mode)
    database = shared / "x.db"
    if linked:  # the log is beside the target
        database = tmp_path / "link.db"
        database.symlink_to(shared / "x.db")
    words = ["--port", "0", "--state", str(tmp_path / "state"), "--database-url", f"sqlite:///{database}"]
    with pytest.raises(UsageError, match=r"cannot use the folder of the database .*/shared: every user"):
        server_main.main(words, unbuilt)
    shared.chmod(0o755)
    with pytest.raises(AssertionError, match="began"):
        server_main.main(words, unbuilt)


def set_acl(path: Path, *entries: tuple[int, int, int], group: int = 5, mask: int = 7) -> None:
    """Set an ACL with the entries (tag, permissions, id) in addition to those of the owner, the group and others."""
    every = [(0x01, 7, NO_ID), (0x04, group, NO_ID), (0x10, mask, NO_ID), (0x20, 5, NO_ID), *entries]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in sorted(every))
    try:
        os.setxattr(path, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("this file system has no ACLs")


def test_entries_of_an_acl_that_let_others_write_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, group, me = 0x02, 0x08, os.geteuid()
    monkeypatch.setattr(private, "_group_of_others", lambda number: "lab" if number == 4321 else "")
    others = [
        ([(user, 7, NOBODY)], 5, 7, "the user .* can write to it, by an ACL"),
        ([(user, 2, NOBODY)], 5, 2, "the user .* can write to it, by an ACL"),
        ([(user, 7, me + 1), (user, 5, NOBODY)], 5, 7, "the user .* can write to it, by an ACL"),
        ([(group, 7, 4321)], 5, 7, "the group 'lab' can write to it"),
    ]
    for index, (entries, own_group, mask, reason) in enumerate(others):
        above = tmp_path / f"others-{index}"
        state = above / "state"
        state.mkdir(parents=True)
        set_acl(above, *entries, group=own_group, mask=mask)
        with pytest.raises(UsageError, match=reason):
            client_home.state_path({"ORCHESTUNE_HOME": str(state)})
        with pytest.raises(UsageError, match=reason):
            refuse_foreign(above, "the folder", "")
    harmless = [
        ([(user, 7, NOBODY)], 7, 5),  # the mask takes the right to write
        ([(user, 5, NOBODY)], 7, 7),
        ([(user, 7, me), (user, 7, 0)], 5, 7),
        ([(group, 5, 4321), (group, 7, 4322)], 7, 7),
    ]
    for index, (entries, own_group, mask) in enumerate(harmless):
        folder = tmp_path / f"harmless-{index}"
        folder.mkdir()
        set_acl(folder, *entries, group=own_group, mask=mask)
        assert private.access_of_others(folder) == ""
        assert replaceable_by_others(folder) is None


def test_the_state_folder_is_closed_to_writers_that_its_acl_names(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    set_acl(state, (0x02, 7, NOBODY))
    assert private.access_of_others(state)
    assert client_home.state_folder({"ORCHESTUNE_HOME": str(state)}) == state
    assert not private.access_of_others(state)


@pytest.mark.parametrize("behind", [False, True], ids=["named", "behind an own link"])
def test_exports_and_saved_files_are_not_written_through_a_link_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    precious, planted, own = (tmp_path / name for name in ("precious.txt", "out.csv", "own.csv"))
    precious.write_text("precious")
    own.symlink_to(planted)
    path = own if behind else planted
    planted.symlink_to(precious)
    if os.geteuid() == 0:
        plant(planted, monkeypatch)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match=r"cannot write .*: it is a symbolic link of the user"):
        with output_file(path, "") as file:
            file.write("overwritten")
    with pytest.raises(UsageError, match=r"cannot write .*: it is a symbolic link of the user"):
        command_words.write(path, tmp_path, "overwritten", force=True)
    assert precious.read_text() == "precious"
    assert planted.is_symlink()


@pytest.mark.parametrize("planted", ["train.py", "helper.py", "ignored.py", "folder"])
def test_reading_options_runs_no_code_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    project, ran = tmp_path / "project", tmp_path / "ran"
    project.mkdir()
    (project / "train.py").write_text("import argparse, helper, ignored\nargparse.ArgumentParser().parse_args()\n")
    (project / ".gitignore").write_text("ignored.py")
    for name in ("helper.py", "ignored.py"):
        (project / name).write_text(f"open({str(ran)!r}, 'a')")
    probe = ParserProbe(project, sys.executable, os.environ, tmp_path / "state" / "options")
    if planted == "folder":
        share(project, monkeypatch)
    else:
        plant(project / planted, monkeypatch)
        (project / ("helper.py" if planted == "ignored.py" else "ignored.py")).write_text("")
    assert probe(["train.py"], ["argparse"]) is None
    assert not ran.exists()


@pytest.mark.parametrize("planted", ["vendor/lib/late.py", "vendor/lib", "linked/lib", "above", "module path"])
def test_reading_options_runs_no_code_below_a_folder_that_others_can_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    project, ran = tmp_path / "above" / "project", tmp_path / "ran"
    folder = tmp_path / "elsewhere" if planted == "linked/lib" else project / "vendor"
    (folder / "lib").mkdir(parents=True)
    project.mkdir(parents=True, exist_ok=True)
    if planted == "linked/lib":
        (project / "vendor").symlink_to(folder)
    (project / ".gitignore").write_text("vendor")
    (project / "train.py").write_text(
        "import argparse\ntry:\n    import vendor.lib.late\nexcept ImportError:\n    pass\n"
        "argparse.ArgumentParser().parse_args()\n"
    )
    (folder / "lib" / "late.py").write_text(f"open({str(ran)!r}, 'a')")
    environ = {**os.environ, **({"PYTHONPATH": str(project)} if planted == "module path" else {})}
    probe = ParserProbe(project, sys.executable, environ, tmp_path / "state" / "options")
    if planted == "above":
        share(tmp_path / "above", monkeypatch)
        assert probe(["train.py"], ["argparse"]) is None
    else:
        if planted.endswith(".py"):
            plant(folder / "lib" / "late.py", monkeypatch)
        else:
            share(folder / "lib", monkeypatch)
        probe(["train.py"], ["argparse"])
    assert not ran.exists()


def test_reading_options_links_own_folders_that_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "project" / "vendor" / "lib").mkdir(parents=True)
    (tmp_path / "project" / "vendor" / "loop").symlink_to(".")
    (tmp_path / "project" / ".gitignore").write_text("vendor")
    (tmp_path / "project" / "vendor" / "lib" / "late.py").write_text("DEPTH = 3")
    (tmp_path / "project" / "train.py").write_text(
        "import argparse\nimport vendor.lib.late as late\np = argparse.ArgumentParser()\n"
        "p.add_argument('--depth', type=int, default=late.DEPTH)\np.parse_args()\n"
    )
    probe = ParserProbe(tmp_path / "project", sys.executable, os.environ, tmp_path / "state" / "options")
    script = probe(["train.py"], ["argparse"])
    assert script is not None and [option.default for option in script.options] == [3]


def test_reading_options_first_creates_no_open_state_folder(tmp_path: Path, careless: None) -> None:
    (tmp_path / "project").mkdir(mode=0o700)
    (tmp_path / "project" / "train.py").write_text("import argparse\nargparse.ArgumentParser().parse_args()\n")
    (tmp_path / "project" / "train.py").chmod(0o600)
    state = tmp_path / "state"
    probe = ParserProbe(tmp_path / "project", sys.executable, os.environ, state / "options")
    assert probe(["train.py"], ["argparse"]) is not None
    assert mode(state) == 0o700


_READERS_OF_CONFIGURATIONS = {
    "opened": "import json\nsettings = json.load(open('config.json'))\n",
    "absolute": "import json\nsettings = json.load(open('KEYS/config.json'))\n",
    "hydra": "import hydra\n@hydra.main(config_path='../.docker', config_name='config.json')\ndef main(c): ...\n",
    "omegaconf": "from omegaconf import OmegaConf\nc = OmegaConf.load('KEYS/config.json')\nOmegaConf.from_cli()\n",
    "option": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--config', default='config.json')\n",
}


@pytest.mark.parametrize("way", _READERS_OF_CONFIGURATIONS)
def test_no_hidden_file_of_the_user_becomes_the_configuration_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    keys, project = tmp_path / ".docker", tmp_path / "project"
    keys.mkdir()
    project.mkdir()
    (keys / "config.json").write_text('{"lr": 0.1, "auth": "c2VjcmV0"}')
    (project / "config.json").symlink_to("../.docker/config.json")
    (project / "train.py").write_text(_READERS_OF_CONFIGURATIONS[way].replace("KEYS", str(keys)))
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(project)
    main(["init", "train.py", "--no-run", "--minimize", "loss"])
    output = capsys.readouterr()
    assert "c2VjcmV0" not in output.out + output.err
    assert not (project / "experiment.yml").exists()


def test_a_file_that_another_user_has_planted_is_no_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, file = tmp_path / "shared", tmp_path / "shared" / "experiment.yml"
    shared.mkdir()
    shared.chmod(0o1777)
    file.write_text("run: ./train\nparameters: {lr: 0..1}\nmetrics: {loss: minimize}\nbudget: 1\n")
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(shared)
    assert main(["run", "--dry-run"]) == 0
    if os.geteuid() == 0:
        os.chown(file, NOBODY, NOBODY)
    else:
        monkeypatch.setattr("orchestune.system.project_root._is_owned", lambda path, owners: False)
    assert main(["run", "--dry-run"]) == 2
    assert "belongs to another user" in capsys.readouterr().err
    assert main(["run", "--dry-run", "-f", "experiment.yml"]) == 0


def test_an_experiment_file_reads_no_hidden_file_elsewhere_by_a_link(tmp_path: Path) -> None:
    for folder in (".kube", "configs", "project"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.yaml").write_text("lr: 0.1\ntoken: c2VjcmV0\n")
    (tmp_path / "project" / ".hidden").mkdir()
    (tmp_path / "project" / ".hidden" / "config.yaml").write_text("lr: 0.1\n")
    text = "run: ./train\nparameters: {lr: 0..1}\nmetrics: {loss: minimize}\nbudget: 1\nconfig: link.yaml\n"
    link = tmp_path / "project" / "link.yaml"
    for target in ("../configs/config.yaml", ".hidden/config.yaml"):
        link.symlink_to(target)
        assert parse(text, "experiment.yml", path=tmp_path / "project" / "experiment.yml").specification.config
        link.unlink()
    link.symlink_to("../.kube/config.yaml")
    with pytest.raises(BadInput, match="hidden file"):
        parse(text, "experiment.yml", path=tmp_path / "project" / "experiment.yml")


@pytest.mark.parametrize("pattern", ["*", "**/*", ".env", "link"])
def test_keep_stores_no_unpacked_file_that_the_trial_has_not_changed(tmp_path: Path, pattern: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in (".env", "id_key", "model.pt"):
        (project / name).write_text(f"{name} of the user")
    view = TrialFolder(tmp_path / "slot")
    view.prepare(None, {path.name: str(path) for path in project.iterdir()})
    (view.folder / ".env").chmod(0o644)
    (view.folder / "link").symlink_to("id_key")
    (view.folder / "model.pt").write_text("trained")
    notes: list[str] = []
    chosen = artifacts.choose(view.folder, [pattern], 1000, notes.append, unchanged=view.unchanged_copies())
    assert [name for name, _ in chosen] == (["model.pt"] if "*" in pattern else [])
    assert any("files of the project that are not packed" in note for note in notes)
    listing = tmp_path / "listing"
    lines = ({"path": str(view.folder), "name": "all"}, {"path": str(view.folder / "id_key"), "name": "named"})
    listing.write_text("\n".join(map(json.dumps, lines)))
    names = [name for name, _ in artifacts.listed(str(listing), view.unchanged_copies())]
    assert names == ["all/model.pt", "named"], "a file that the command itself names is its choice"


def test_a_trial_s_copy_of_a_file_runs_with_no_other_rights(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o6755)
    view = TrialFolder(tmp_path / "slot")
    view.prepare(None, {"program": str(tmp_path / "program")})
    assert mode(view.folder / "program") == 0o755


@pytest.mark.parametrize("planted", ["out", "out/sub", "part", "own part", "hard part"])
def test_downloads_follow_no_link_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], planted: str
) -> None:
    content = b"data of the trial"
    digest = hashlib.sha256(content).hexdigest()
    keys, out = tmp_path / "keys", tmp_path / "out"
    keys.mkdir()
    (keys / "precious").write_text("precious")
    path = {"out": out, "out/sub": out / "sub"}.get(planted, out / "sub" / f".{digest[:32]}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if planted == "hard part":
        path.hardlink_to(keys / "precious")
    else:
        path.symlink_to(keys / "precious" if "part" in planted else keys)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "state"))
    (tmp_path / "state").mkdir(mode=0o700)
    with FakeServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.put(status("sgd-7f3a", state="completed"))
        artifact = {"path": "sub/model", "digest": digest, "size": len(content)}
        server.world.trials["sgd-7f3a"] = [trial(1, state="completed", artifacts=[artifact])]
        server.world.files["sub/model"] = content
        if planted not in ("own part", "hard part"):
            plant(path, monkeypatch)
        assert main(["get", "sgd/1", "-o", str(out)]) != 0
    assert "link" in capsys.readouterr().err
    assert [entry.name for entry in keys.iterdir()] == ["precious"]
    assert (keys / "precious").read_text() == "precious"


def test_event_files_are_not_written_through_a_link_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX")
    (tmp_path / "precious" / "1").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    link = tmp_path / "runs" / "sgd-7f3a"
    link.symlink_to(tmp_path / "precious")
    plant(link, monkeypatch)
    exported = TrackedTrial("id", "sgd-7f3a", 1, "completed", "", {}, {})
    with pytest.raises(TrackerFailed, match="symbolic link"):
        TensorBoard(tmp_path / "runs").open(exported)
    assert not list((tmp_path / "precious" / "1").iterdir())


def test_a_folder_above_in_which_others_can_rename_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = tmp_path / "lab"
    state, link = above / "home" / "state", tmp_path / "link"
    state.mkdir(parents=True)
    link.symlink_to(state)

    def replaceable() -> set[Path | None]:
        return {
            replaceable_path.folder if (replaceable_path := replaceable_by_others(path)) else None
            for path in (state, link)
        }

    assert replaceable() == {None}
    above.chmod(0o777)
    assert replaceable() == {above}
    above.chmod(0o1777)
    assert replaceable() == {None}
    above.chmod(0o775)
    monkeypatch.setattr(private, "_group_of_others", lambda number: "")
    assert replaceable() == {None}, "the group is this user's own"
    monkeypatch.undo()
    share(above, monkeypatch)
    assert replaceable() == {above}
    above.chmod(0o1777)
    if os.geteuid() == 0:
        plant(above, monkeypatch)
        assert replaceable() == {above}, "its owner can rename what is in a sticky folder"
        os.chown(above, 54321, 54321)
        assert replaceable() == {None}, "there is no such user"


def test_folders_of_subordinate_users_and_groups_of_another_account_can_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account of the range becomes such a user by rootless containers, and can rename what is in its folders."""
    if os.geteuid() != 0:
        pytest.skip("a folder can only be given to a subordinate user by root")
    above = tmp_path / "lab"
    state, ranges = above / "state", tmp_path / "ranges"
    state.mkdir(parents=True)
    monkeypatch.setattr(private, "_SUBORDINATE_UIDS", ranges)
    monkeypatch.setattr(private, "_SUBORDINATE_GIDS", ranges)

    def reason(text: str, user: int, group: int, mode: int) -> str:
        ranges.write_text(text)
        private._subordinate_of.cache_clear()
        private._group_of_others.cache_clear()
        os.chown(above, user, group)
        above.chmod(mode)
        replaceable_path = replaceable_by_others(state)
        return replaceable_path.reason if replaceable_path else ""

    name, number = pwd.getpwuid(NOBODY).pw_name, 3_000_000_007
    for account in (name, str(NOBODY)):
        text = f"# ranges\n\n{account}:3000000000:65536\n"
        assert reason(text, number, 0, 0o1777) == f"it belongs to the user {number}, a subordinate uid of '{name}'"
        assert reason(text, 0, number, 0o775) == f"the group '{number}' can write to it"
        assert reason(text, 3_000_065_536, 3_000_065_536, 0o1777) == "", "it is beyond the range"
    for own in ("root:3000000000:65536", "0:3000000000:65536", f"{name}:3000000000", "gone-1:3000000000:65536", ""):
        assert reason(own, number, 0, 0o1777) == reason(own, 0, number, 0o775) == "", own
    private._subordinate_of.cache_clear()
    private._group_of_others.cache_clear()


def test_a_state_folder_that_others_can_replace_is_refused_by_commands_and_told_by_a_hosted_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    above = tmp_path / "lab"
    state = above / "state"
    state.mkdir(parents=True, mode=0o700)
    share(above, monkeypatch)
    *refusing, hosted = starts(state)
    for start in refusing:
        with pytest.raises(UsageError, match=r"other users can replace it through .*/lab: the group"):
            start()
    with pytest.raises(AssertionError, match="began"):
        hosted()
    assert f"others can replace {state}" in capsys.readouterr().err


def test_a_folder_that_all_users_share_is_no_state_folder(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(UsageError, match="every user of this machine can write to it"):
        client_home.state_folder({"ORCHESTUNE_HOME": str(shared)})
    assert list(shared.iterdir()) == [] and mode(shared) == 0o1777


def test_a_folder_of_nodes_that_another_user_has_planted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    backend = SlurmBackend(tmp_path / "state", shared, lambda port: "http://127.0.0.1:1", worker_program=("true",))
    monkeypatch.setattr(backend, "_find", lambda *_: None, raising=False)
    (shared / "slurm").mkdir(parents=True)
    plant(shared / "slurm", monkeypatch)
    with pytest.raises(UsageError, match="cannot use the folder that nodes share"):
        backend._submit(WorkerOrder("w" * 8, "e", "t", 1), backend._folder("018bcfe5-0000-7000-8000-000000000001"))
    if os.geteuid() == 0:
        os.chown(shared / "slurm", 0, 0)
        plant(shared, monkeypatch)
        with pytest.raises(UsageError, match="cannot use the folder that nodes share"):
            server_main.main(["--port", "0", "--state", str(tmp_path / "s"), "--shared", str(shared)], unbuilt)


def test_programs_for_nodes_in_folders_that_others_can_change_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    backend = SlurmBackend(tmp_path / "state", shared, lambda port: "http://127.0.0.1:1", worker_program=("true",))

    def submit() -> None:
        backend._submit(WorkerOrder("w" * 8, "e", "t", 1), backend._folder("018bcfe5-0000-7000-8000-000000000001"))

    runtime = shared / "slurm" / "runtime-1"
    runtime.mkdir(parents=True)
    share(shared, monkeypatch)
    with pytest.raises(UsageError, match="/shared: the group"):
        submit()
    shared.chmod(0o755)
    runtime.chmod(0o777)
    with pytest.raises(UsageError, match=r"because of .*/runtime-1: every user"):
        submit()


def unbuilt(*_: object) -> server_main.RunningServer:
    raise AssertionError("the server began")


def test_the_umask_of_commands_is_theirs_alone() -> None:
    code = """
    import os, sys
    from orchestune.worker.processes import umask
    from orchestune.worker.processes.spawn import TrialCommand as Command, spawn
    umask.keep_private(0o027)
    assert os.umask(0o077) == 0o077
    environment = dict(os.environb)
    for folder in (".", "/"):
        started = spawn(Command(["sh", "-c", "umask"], environment, folder, (0, 1), []))
        assert os.waitpid(started.pid, 0)[1] == 0
    assert os.umask(0o077) == 0o077
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0027", "0027"], done.stderr


def test_a_worker_that_is_told_no_umask_keeps_its_own() -> None:
    before = os.umask(0o022)
    umask.keep_private(None)
    with umask.for_command():
        assert os.umask(0o022) == 0o022
    os.umask(before)


@pytest.mark.usefixtures("careless")
def test_programs_for_containers_stay_readable_for_their_users(tmp_path: Path) -> None:
    os.umask(0o077)
    runtime = tmp_path / "runtime"
    (runtime / "lib").mkdir(parents=True)
    (runtime / "lib" / "code.pyc").touch()
    shutil.copy(shutil.which("sh") or "/bin/sh", runtime / "python")
    (runtime / "python").chmod(0o700)
    _open_to_containers(runtime)
    modes = [mode(path) for path in (runtime, runtime / "lib", runtime / "lib" / "code.pyc", runtime / "python")]
    assert modes == [0o755, 0o755, 0o644, 0o755]
