"""Commands find the cluster that is meant: by its name, by the experiment, by what is the default."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from orchestune import __version__
from orchestune.client.clusters import Clusters, ConnectedCluster
from orchestune.client.connection.versions import remedy
from orchestune.client.local.endpoint import FILE, EmbeddedEndpoint
from orchestune.client.local.experiment_index import MAX_EXPERIMENTS, ExperimentIndex, StartedExperiment
from orchestune.client.local.launch_context import folder_key
from orchestune.errors import Ambiguous
from orchestune.system.process import Process
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import TOKEN, FakeServer, status

Cli = Callable[..., Result]

EXPERIMENT = """\
name: sgd
run: python model.py
parameters: {alpha: 0..1}
metrics: {accuracy: maximize}
budget: 4
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder, and a project that is the current folder; no server is named."""
    for name in ("ORCHESTUNE_SERVER", "ORCHESTUNE_CLUSTER", "ORCHESTUNE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("ORCHESTUNE_HOME", str(folder))
    project = tmp_path / "project"
    project.mkdir()
    (project / "experiment.yml").write_text(EXPERIMENT)
    (project / "data").mkdir()
    (project / "data" / "big.bin").write_text("something")
    (project / ".gitignore").write_text("data/\n")
    monkeypatch.chdir(project)
    return folder


def connect(home: Path, server: FakeServer, name: str) -> None:
    Clusters(home).add(ConnectedCluster(name, "hosted", url=server.url, token=TOKEN))


@pytest.fixture
def lab(home: Path) -> Iterator[FakeServer]:
    with FakeServer() as fake:
        fake.put(status("sgd-aaaa", cluster="lab"))
        connect(home, fake, "lab")
        yield fake


@pytest.fixture
def team(home: Path) -> Iterator[FakeServer]:
    """The default cluster."""
    with FakeServer() as fake:
        fake.put(status("tree-bbbb", cluster="team"))
        connect(home, fake, "team")
        Clusters(home).use("team")
        yield fake


@pytest.fixture
def machine(home: Path) -> Iterator[FakeServer]:
    """The embedded server of this machine."""
    process = Process.of(os.getpid())
    assert process is not None
    with FakeServer() as fake:
        EmbeddedEndpoint(fake.url, TOKEN, process, __version__).write(home / FILE)
        yield fake


def test_the_cluster_that_is_named_is_asked(lab: FakeServer, team: FakeServer, cli: Cli) -> None:
    assert json.loads(cli("status", "sgd", "--cluster", "lab", "--json").out)["handle"] == "sgd-aaaa"
    assert not team.world.requests
    assert cli("status", "sgd").code == 2
    assert json.loads(cli("status", "tree", "--json").out)["handle"] == "tree-bbbb"


def test_a_cluster_of_the_environment_goes_before_the_default_one(
    lab: FakeServer, team: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTUNE_CLUSTER", "lab")
    assert cli("best", "sgd").code == 0
    assert not team.world.requests


def test_what_was_started_in_a_cluster_is_found_there_without_naming_it(
    lab: FakeServer, team: FakeServer, cli: Cli
) -> None:
    assert cli("run", "--cluster", "lab", "--detach").out == "sgd-aaaa\n"
    lab.update("sgd-aaaa", state="completed")
    for words in (
        ("status", "sgd-aaaa"),
        ("trials", "sgd"),
        ("logs", "id-of-sgd-aaaa"),
        ("wait", "sgd-a"),
        ("stop", "sgd"),
    ):
        assert cli(*words).code == 0, words
    assert not team.world.requests
    assert cli("stop", "tree").code == 0
    assert cli("stop", "sgd", "--cluster", "team").code == 2


def test_nothing_named_means_the_newest_of_this_folder_wherever_it_runs(
    lab: FakeServer, team: FakeServer, cli: Cli, home: Path
) -> None:
    folder = folder_key(Path.cwd())
    lab.world.folders[folder], team.world.folders[folder] = ["sgd-aaaa"], ["tree-bbbb"]
    assert "tree-bbbb" in cli("stop").out
    cli("run", "--cluster", "lab", "--detach")
    assert "sgd-aaaa" in cli("stop").out
    cli("run", "--detach")
    assert "tree-bbbb" in cli("stop").out
    team.world.folders[folder] = []  # deleted
    assert "sgd-aaaa" in cli("stop").out


def test_what_is_left_of_a_cluster_that_is_connected_no_more_is_looked_for_on_this_machine(
    lab: FakeServer, team: FakeServer, machine: FakeServer, cli: Cli, home: Path
) -> None:
    cli("run", "--cluster", "lab", "--detach")
    Clusters(home).remove("lab")
    machine.put(status("sgd-aaaa"))
    assert cli("status", "sgd-aaaa").code == 0
    assert not team.world.requests


def test_a_purged_experiment_is_forgotten(lab: FakeServer, team: FakeServer, cli: Cli, home: Path) -> None:
    cli("run", "--cluster", "lab", "--detach")
    assert cli("delete", "sgd-aaaa", "--purge", "--yes").code == 0
    assert ExperimentIndex(home).all() == []


def test_a_server_of_the_environment_is_asked_whatever_is_remembered(
    lab: FakeServer, team: FakeServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", "--cluster", "lab", "--detach")
    before = len(lab.world.requests)
    for name, value in team.environment().items():
        monkeypatch.setenv(name, value)
    assert cli("status", "sgd-aaaa").code == 2
    assert len(lab.world.requests) == before


def test_an_experiment_elsewhere_gets_nothing_of_this_machine(lab: FakeServer, cli: Cli) -> None:
    result = cli("run", "--cluster", "lab", "--dry-run")
    assert "where      lab, at http://127.0.0.1" in result.out
    assert "not packed, so trials do not have them: data" in result.out
    cli("run", "--cluster", "lab", "--detach")
    body = lab.world.created[0]
    assert body["launch"] == {"code": {"ignore": [], "limit": 200 * 2**20}}
    assert "cluster" not in body


def test_the_list_says_what_else_is_connected(lab: FakeServer, team: FakeServer, cli: Cli) -> None:
    result = cli("status")
    assert "tree-bbbb" in result.out
    assert result.err == "listed: team; also connected: local, lab (`orchestune status --all`)\n"
    assert cli("status", "--json").err == ""


def test_all_clusters_are_listed_and_those_that_do_not_answer_are_named(
    lab: FakeServer, team: FakeServer, machine: FakeServer, cli: Cli, home: Path
) -> None:
    machine.put(status("mine-cccc"))
    machine.put(status("box-dddd", cluster="docker"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    Clusters(home).add(ConnectedCluster("gone", "hosted", url=f"http://127.0.0.1:{port}"))
    result = cli("status", "--all")
    assert sorted(line.split()[:2] for line in result.out.splitlines()[1:]) == [
        ["box-dddd", "docker"],
        ["mine-cccc", "local"],
        ["sgd-aaaa", "lab"],
        ["tree-bbbb", "team"],
    ]
    assert result.err.startswith("gone does not answer: the server of cluster 'gone' cannot be reached")
    statuses = json.loads(cli("status", "--all", "--json").out)
    assert ("sgd-aaaa", "lab") in {(item["handle"], item["place"]) for item in statuses}


def test_a_server_of_another_release_is_told_once_with_what_to_do(lab: FakeServer, team: FakeServer, cli: Cli) -> None:
    team.version = "0.0.9"
    warning = f"the server is 0.0.9, older than this program ({__version__}): ask its operator to upgrade it\n"
    assert cli("trials", "tree").err == warning
    assert cli("trials", "nothing").err.endswith(warning)
    assert cli("trials", "tree", "--json").err == ""
    assert cli("trials", "sgd", "--cluster", "lab").err == ""
    team.version = "99.0"
    assert cli("best", "tree").err.endswith("upgrade this program: pip install --upgrade orchestune\n")


def test_doctor_looks_at_every_connected_cluster(lab: FakeServer, team: FakeServer, cli: Cli, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    Clusters(home).add(ConnectedCluster("gone", "hosted", url=f"http://127.0.0.1:{port}"))
    lab.version = "0.0.1"
    checks = {item["name"]: item for item in json.loads(cli("doctor", "--json").out)}
    assert checks["cluster team"]["state"] == "ok"
    assert checks["cluster lab"]["state"] == "warning"
    assert "older than this program" in checks["cluster lab"]["detail"]
    assert checks["cluster gone"]["state"] == "error"
    assert "cannot be reached" in checks["cluster gone"]["detail"]


def test_a_cluster_of_kubernetes_is_upgraded_by_a_command() -> None:
    cluster = ConnectedCluster("lab", "kubernetes", namespace="ml")
    assert (
        remedy("0.1.0", cluster, "0.2.0")
        == "`orchestune cluster upgrade -n lab` upgrades it to 0.2.0 and keeps its data"
    )
    assert remedy("0.2.0", cluster, "0.2.0rc1") == ""


def test_what_is_remembered_is_bounded_and_survives_nonsense(tmp_path: Path) -> None:
    index = ExperimentIndex(tmp_path)
    (tmp_path / "experiments.json").write_text('{"experiments": 3}')
    assert index.all() == []
    full = [
        asdict(StartedExperiment(f"sgd-{number:04}", f"id-{number}", "lab", "here:/x"))
        for number in range(MAX_EXPERIMENTS)
    ]
    (tmp_path / "experiments.json").write_text(json.dumps({"schema": 1, "experiments": full}))
    index.add(StartedExperiment("new-0000", "id-new", "lab", "here:/x"))
    assert len(index.all()) == MAX_EXPERIMENTS
    assert index.all()[0].handle == "new-0000"
    assert index.cluster_of(f"sgd-{MAX_EXPERIMENTS - 1:04}") is None
    assert (tmp_path / "experiments.json").stat().st_mode & 0o077 == 0


def test_what_stands_before_the_four_characters_is_looked_for_where_that_runs(tmp_path: Path) -> None:
    index = ExperimentIndex(tmp_path)
    index.add(StartedExperiment("sgd-1111", "id-1", "lab", "here:/x"))
    index.add(StartedExperiment("sgd-large-2222", "id-2", "docker", "here:/x"))
    assert (index.cluster_of("sgd"), index.cluster_of("sgd-l")) == ("lab", "docker")
    with pytest.raises(Ambiguous):
        index.cluster_of("sg")


def test_what_cannot_be_written_is_not_remembered_and_no_error(tmp_path: Path) -> None:
    index = ExperimentIndex(tmp_path)
    (tmp_path / "experiments.lock").mkdir()
    index.add(StartedExperiment("sgd-1111", "id-1", "lab", "here:/x"))
    index.forget(lambda started: True)
    assert index.all() == []


def test_a_prefix_that_could_be_in_two_clusters_asks_for_more(tmp_path: Path) -> None:
    index = ExperimentIndex(tmp_path)
    index.add(StartedExperiment("sgd-1111", "id-1", "lab", "here:/x"))
    index.add(StartedExperiment("sgd-1122", "id-2", "team", "here:/x"))
    assert index.cluster_of("sgd-1111") == "lab"
    assert index.cluster_of("sgd-112") == "team"
    assert index.cluster_of("tree") is None
    with pytest.raises(Ambiguous, match="sgd-1122 in team, sgd-1111 in lab"):
        index.cluster_of("sgd-11")
