"""Before an experiment starts, its plan shows what the author of its files reads on the user's machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.cli.experiments import destination
from orchestune.cli.experiments.prepare import listed
from orchestune.client.address import ServerAccess, ServerPlace
from orchestune.client.clusters import BUILT_IN
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import folder_key
from orchestune.config.experiment_file import load
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer

Cli = Callable[..., Result]
EXPERIMENT = "name: tune\nrun: ./train {x}\nparameters: {x: 0..1}\nmetrics: {loss: minimize}\nbudget: 2\n"
READS = """\
secrets: {X: "file:~/.ssh/id_rsa", Y: env:AWS_SECRET_ACCESS_KEY, Z: file:settings}
mlflow: {uri: "http://collector.example", token: "file:~/.netrc"}
notify: [{url: "http://collector.example/hook", secret: "file:~/.pgpass"}, {url: env:HOOK}]
"""
SOURCES = [
    "  secrets    X from file:~/.ssh/id_rsa",
    "             Y from env:AWS_SECRET_ACCESS_KEY",
    "             Z from file:settings ({home}/.vault-token)",
    "  notifies   http://collector.example/… when finished or failed or paused, signed with the key of file:~/.pgpass",
    "             env:HOOK when finished or failed or paused",
    "  recorded   in MLflow, http://collector.example, with the token of file:~/.netrc",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user with keys, and a repository of another author in it, which is the current folder."""
    folder = tmp_path / "ada"
    (folder / ".ssh").mkdir(parents=True)
    (folder / "sets").mkdir()
    for name in (".ssh/id_rsa", ".netrc", ".pgpass", ".vault-token", ".git-credentials", "sets/big"):
        (folder / name).write_text("s3cr3t-0123456789")
    repository = folder / "repo"
    repository.mkdir()
    (repository / "train").touch(0o755)
    (repository / "experiment.yml").write_text(EXPERIMENT)
    monkeypatch.chdir(repository)
    for name, text in {"HOME": str(folder), "AWS_SECRET_ACCESS_KEY": "key", "HOOK": "http://hook.example"}.items():
        monkeypatch.setenv(name, text)
    return folder


def refuse() -> ServerAccess:
    raise AssertionError("the notes of the plan need no server")


@pytest.mark.parametrize("words", [("run", "--dry-run"), ("run", "--verbose"), ("run",)])
def test_the_plan_shows_all_sources_of_secrets_each_time(
    server: FakeServer, cli: Cli, home: Path, words: tuple[str, ...]
) -> None:
    server.update("sgd-7f3a", state="completed")
    ExperimentIndex(state_folder()).add(StartedExperiment("tune-1a2b", "1", "local", folder_key(Path.cwd())))
    Path("settings").symlink_to(home / ".vault-token")
    Path("experiment.yml").write_text(EXPERIMENT + READS)
    result = cli(*words)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("  secrets "))
    expected = [line.format(home=home) for line in SOURCES]
    assert lines[start : start + len(expected)] == expected
    assert "s3cr3t" not in result.out + result.err


@pytest.mark.parametrize("cluster", ["local", "slurm", "docker"])
def test_the_plan_shows_where_links_lead_out_of_the_project_however_many_there_are(home: Path, cluster: str) -> None:
    for name in [f"a{number}" for number in range(20)]:
        Path(name).symlink_to("train")
    for name, target in {"data": "../.git-credentials", "key": "../.ssh/id_rsa", "sets": "../sets"}.items():
        Path(name).symlink_to(target)
    Path(".orchestuneignore").write_text("/a*\n/data\n/key\n/sets\n")
    loaded = load(Path("experiment.yml").absolute())
    prepared = listed(loaded.specification, loaded.project.path, loaded.code)
    place = ServerPlace(next(each for each in BUILT_IN if each.name == cluster), refuse)
    notes = destination.notes(place, prepared)
    targets = f"data -> {home}/.git-credentials, key -> {home}/.ssh/id_rsa, sets -> {home}/sets"
    assert f"links that lead out of the project: {targets}" in notes
    without = "not mounted, since they lead to hidden files or other files that may hold your keys: data, key"
    assert (without in notes) is (cluster == "docker")
