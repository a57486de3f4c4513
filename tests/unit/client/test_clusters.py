"""Connected clusters are remembered by one owner-only file, and decide which server is meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestune.client.address import place, resolver
from orchestune.client.clusters import FILE, Clusters, ConnectedCluster
from orchestune.errors import NotFound, UsageError

LAB = ConnectedCluster("lab", "kubernetes", "/home/ada/.kube/config", "lab", "ml", "registry.lab:5000", user="ada@lab")
TEAM = ConnectedCluster("team", "hosted", url="https://tune.example.org", token="t")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"ORCHESTUNE_HOME": str(tmp_path)}


@pytest.fixture
def clusters(tmp_path: Path) -> Clusters:
    return Clusters(tmp_path)


def test_a_cluster_comes_back_as_it_was_added(clusters: Clusters, tmp_path: Path) -> None:
    clusters.add(LAB)
    clusters.add(TEAM)
    assert Clusters(tmp_path).get("lab") == LAB
    assert Clusters(tmp_path).connected() == (LAB, TEAM)
    assert [cluster.name for cluster in clusters.all()] == ["local", "docker", "slurm", "lab", "team"]


def test_only_its_owner_can_read_the_file(clusters: Clusters, tmp_path: Path) -> None:
    clusters.add(TEAM)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_a_token_is_not_shown(clusters: Clusters) -> None:
    assert "token" not in repr(TEAM)


def test_adding_again_replaces(clusters: Clusters) -> None:
    clusters.add(LAB)
    clusters.add(ConnectedCluster("lab", "kubernetes", role="viewer"))
    assert clusters.connected() == (ConnectedCluster("lab", "kubernetes", role="viewer"),)


def test_local_and_docker_are_always_there_and_never_taken(clusters: Clusters) -> None:
    assert clusters.get("local").embedded and clusters.get("docker").embedded
    assert not clusters.connected()
    with pytest.raises(UsageError, match="reserved cluster name"):
        clusters.add(ConnectedCluster("local", "kubernetes"))
    with pytest.raises(UsageError, match="built-in cluster"):
        clusters.remove("docker")


@pytest.mark.parametrize("name", ["", "-lab", "a b", "lab/1", "x" * 64, "läb"])
def test_a_name_that_cannot_be_typed_everywhere_is_refused(clusters: Clusters, name: str) -> None:
    with pytest.raises(UsageError, match="invalid cluster name"):
        clusters.add(ConnectedCluster(name, "kubernetes"))


def test_a_wrong_name_is_answered_with_what_is_near(clusters: Clusters) -> None:
    clusters.add(LAB)
    with pytest.raises(NotFound) as caught:
        clusters.get("lap")
    assert "did you mean lab?" in caught.value.hint
    with pytest.raises(NotFound):
        clusters.remove("nothing")
    with pytest.raises(NotFound):
        clusters.use("nothing")


def test_the_default_is_local_until_another_is_chosen_and_after_that_one_is_gone(clusters: Clusters) -> None:
    clusters.add(LAB)
    assert clusters.default == "local"
    clusters.use("lab")
    assert clusters.default == "lab"
    assert clusters.remove("lab") == LAB
    assert clusters.default == "local"
    clusters.use("docker")
    assert clusters.default == "docker"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 2, "clusters": [], "default": "x"}',
        '{"schema": 1}',
        '{"schema": 1, "clusters": ["lab"], "default": "lab"}',
    ],
)
def test_a_file_that_is_none_of_this_version_is_refused_and_left_alone(
    clusters: Clusters, tmp_path: Path, text: str
) -> None:
    (tmp_path / FILE).write_text(text)
    for call in (clusters.all, lambda: clusters.get("lab"), lambda: clusters.add(LAB), lambda: clusters.default):
        with pytest.raises(UsageError, match="invalid file"):
            call()
    assert (tmp_path / FILE).read_text() == text


def test_what_a_later_version_says_beside_it_is_no_mistake(clusters: Clusters, tmp_path: Path) -> None:
    document = {"schema": 1, "default": "local", "clusters": [{**LAB.to_json(), "colour": "green"}]}
    (tmp_path / FILE).write_text(json.dumps(document))
    assert clusters.get("lab") == LAB


def test_commands_that_add_at_the_same_time_lose_nothing(clusters: Clusters, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestune.client.clusters import Clusters, ConnectedCluster\n"
        "for i in range(20): Clusters(Path(sys.argv[1])).add(ConnectedCluster(f'{sys.argv[2]}{i}', 'kubernetes'))"
    )
    adding = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "abcd"]
    assert [process.wait(60) for process in adding] == [0] * 4
    assert len(clusters.connected()) == 80


def test_the_named_cluster_wins_over_the_environment_and_that_over_the_default(
    clusters: Clusters, environ: dict[str, str]
) -> None:
    clusters.add(TEAM)
    clusters.add(ConnectedCluster("other", "hosted", url="https://other.example.org"))
    clusters.use("other")
    named = {**environ, "ORCHESTUNE_SERVER": "https://named.example.org"}
    chosen = {**environ, "ORCHESTUNE_CLUSTER": "team"}
    assert resolver({**named, **chosen}, "other")().url == "https://other.example.org"
    assert resolver({**named, **chosen})().url == "https://named.example.org"
    access = resolver(chosen)()
    assert (access.url, access.token) == ("https://tune.example.org", "t")
    assert resolver(environ)().url == "https://other.example.org"


def test_the_machine_itself_is_meant_where_nothing_else_is_said(environ: dict[str, str]) -> None:
    assert place(environ).cluster == ConnectedCluster("local", "local")
    assert place(environ).embedded
    assert place({**environ, "ORCHESTUNE_CLUSTER": "docker"}).name == "docker"
    elsewhere = place({**environ, "ORCHESTUNE_SERVER": "https://tune.example.org", "USER": "ada"})
    assert not elsewhere.embedded
    assert elsewhere.sends_caller_name and elsewhere.resolve().user == "ada"


def test_a_cluster_that_nobody_connected_is_told_at_once(environ: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="no such cluster: 'lab'"):
        resolver(environ, "lab")
