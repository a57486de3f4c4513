"""Variables that trials inherit from a shell are stored apart, never displayed, and not passed to other users' code."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestune.errors import BadInput, TooLarge
from orchestune.services import environments
from orchestune.services.commands import change_experiment, create_experiment, rerun_trial
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.store import experiments
from tests.contract.world import CoreWorld
from tests.e2e.scene import eventually, launch, reached, write
from tests.e2e.test_promises_secrets import contains_secret
from tests.testbeds.home import Home

TOKEN, PLAIN = secrets.token_hex(20), f"/data/{secrets.token_hex(8)}"
VALUES = (TOKEN, PLAIN)
COMMAND = """
touch $ORCHESTUNE_ORIGINAL_DIR/began
while [ ! -e $ORCHESTUNE_ORIGINAL_DIR/go ]; do sleep 0.1; done
echo "token $MY_API_TOKEN"
[ ${#MY_API_TOKEN} = 40 ] && [ -n "$MY_DATA_DIR" ] || exit 8
[ $ORCHESTUNE_TRIAL != 1 ] || { echo "Traceback: refused $MY_API_TOKEN"; exit 9; }
echo loss={x}
"""


@pytest.fixture
def exported() -> Iterator[Home]:
    with Home(MY_API_TOKEN=TOKEN, MY_DATA_DIR=PLAIN) as home:
        yield home


def holders(home: Home) -> set[Path]:
    """Return the folders below the state folder with files that hold one of the values."""
    folders = set()
    for folder, _, names in os.walk(home.folder):
        for path in (Path(folder, name) for name in names):
            try:
                if path.is_file() and not path.is_symlink() and contains_secret(path.read_bytes(), VALUES):
                    folders.add(path.parent)
            except FileNotFoundError:
                continue
    return folders


def test_no_value_is_in_a_row_a_log_an_answer_an_event_or_an_argument(exported: Home, tmp_path: Path) -> None:
    home = exported
    project = write(tmp_path / "inheriting", COMMAND, budget=2, parallelism=1)
    handle = launch(home, project)
    eventually((project / "began").exists, "a trial runs", home)
    assert holders(home) == {home.folder / "environments"}
    for path in (home.folder / "environments", *(home.folder / "environments").iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    for pid, arguments in home.processes().items():
        assert not contains_secret(arguments.encode(), VALUES), f"the arguments of {pid}"
    (project / "go").touch()
    reached(home, handle, "completed")
    eventually(lambda: holders(home) == set(), "the end deletes the values", home)
    for command in (
        ["logs", handle, "--json"], ["trials", f"{handle}/1"], ["trials", f"{handle}/1", "--json"], ["status", handle],
        ["status", handle, "--json"], ["export", handle, "--format", "json"], ["diff", f"{handle}/1", f"{handle}/2"],
        ["doctor"],
    ):  # fmt: skip
        done = home.run(*command, expect=None)
        assert not contains_secret((done.stdout + done.stderr).encode(), VALUES), command
    assert "Traceback: refused ***" in home.run("trials", f"{handle}/1").stdout
    home.run("export", "--all", "-o", str(tmp_path / "record"))
    exported_files = [path for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert exported_files
    for path in exported_files:
        assert not contains_secret(path.read_bytes(), VALUES), path


def test_a_trial_of_an_imported_experiment_inherits_nothing(exported: Home, tmp_path: Path) -> None:
    with Home() as other:
        project = write(tmp_path / "foreign", "echo got ${MY_DATA_DIR:-nothing}; echo loss={x}", budget=1)
        other.run("run", cwd=project)
        [handle] = [status["handle"] for status in other.json("status")]
        other.run("export", "--all", "-o", str(tmp_path / "record.tar.gz"))
    exported.run("import", str(tmp_path / "record.tar.gz"), "--trust-unverified")
    repeated = exported.run("rerun", f"{handle}/1", "--yes", "--detach", cwd=project).stdout.strip()
    reached(exported, repeated, "completed")
    assert "got nothing" in exported.run("logs", repeated).stdout
    tried = exported.run("try", handle, "--yes", cwd=project)
    assert "got nothing" in tried.stdout
    output = exported.run(
        "shell", f"{handle}/1", "--yes", "--", "sh", "-c", "echo ${MY_DATA_DIR:-nothing}", cwd=project
    )
    assert output.stdout.strip() == "nothing"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    world = CoreWorld(tmp_path)
    world.backend.name = "local"
    yield world
    world.close()


def _create(world: CoreWorld, values: dict[str, str], **specification: object) -> str:
    request = replace(world.request(**specification), environment=values)
    return str(create_experiment.create_experiment(world.core, request, "ada")["id"])


def test_only_local_trials_that_inherit_get_any_and_not_without_a_limit(world: CoreWorld) -> None:
    world.empty.name = "slurm"
    request = replace(world.request(), cluster="empty", environment={"A": "1"})
    with pytest.raises(BadInput, match="inherit no environment"):
        create_experiment.create_experiment(world.core, request, "ada")
    with pytest.raises(BadInput, match="inherit: false"):
        _create(world, {"A": "1"}, inherit_env=False)
    with pytest.raises(TooLarge, match="environment"):
        _create(world, {"A": "x" * environments.MAX_ENVIRONMENT_BYTES})
    assert environments.stored(world.core) == frozenset()


def test_an_experiment_of_a_cluster_that_this_server_lacks_gets_none(world: CoreWorld) -> None:
    with world.core.store.reading() as session:
        specification = experiments.get(session, _create(world, {})).specification
    with pytest.raises(BadInput, match="trials in 'elsewhere' inherit no environment"):
        environments.check(world.core, specification, "elsewhere", {"A": "1"})


def test_what_looks_like_a_token_is_stored_and_masked_as_a_secret(world: CoreWorld) -> None:
    experiment = _create(world, {"MY_API_TOKEN": TOKEN, "MY_DATA_DIR": PLAIN})
    assert environments.plain(world.core, experiment) == {"MY_DATA_DIR": PLAIN}
    assert environments.secrets_of(world.core, experiment) == {"MY_API_TOKEN": TOKEN}


def test_the_end_and_a_purge_delete_them_and_a_server_that_was_killed_between_does_it_later(world: CoreWorld) -> None:
    stopped, purged = _create(world, {"A": "1"}), _create(world, {"A": "1"})
    world.core.environments.put("left-by-a-crash", {"A": "1"})  # type: ignore[union-attr]
    change_experiment.stop(world.core, stopped, "ada")
    change_experiment.delete(world.core, purged, True, "ada")
    world.tick(3)
    assert environments.stored(world.core) == {"left-by-a-crash"}
    world.clock.pass_time(120)
    world.tick(1)
    assert environments.stored(world.core) == frozenset()


def test_an_experiment_that_continues_gets_new_ones_and_a_running_one_keeps_its_own(world: CoreWorld) -> None:
    experiment = _create(world, {"A": "1"})
    change_experiment.resume(world.core, experiment, "ada", {"A": "2"})
    assert environments.whole(world.core, experiment) == {"A": "1"}
    change_experiment.stop(world.core, experiment, "ada")
    world.tick(2)
    change_experiment.resume(world.core, experiment, "ada", {"A": "2"})
    world.tick(2)
    assert environments.whole(world.core, experiment) == {"A": "2"}


def test_a_rerun_without_variables_gets_those_of_its_experiment_while_it_runs(world: CoreWorld) -> None:
    experiment = _create(world, {"A": "1"}, try_first=[{"x": 0.5}])
    world.tick(2)
    again = rerun_trial.rerun_trial(world.core, experiment, 1, Rerun(), "ada")["id"]
    assert environments.whole(world.core, again) == {"A": "1"}
