"""`orchestune cluster`: what is known here, hosted servers, how a cluster is shown. Real clusters: tests/kubernetes."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from orchestune.cli.clusters import checks
from orchestune.cli.clusters.checks import building, mark_of, own_mark, pools
from orchestune.cli.clusters.options import ConnectOptions
from orchestune.cli.clusters.shared import repeatable
from orchestune.cli.clusters.status import lines
from orchestune.cli.main import build_parser
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import Paint
from orchestune.client.api import Client
from orchestune.client.clusters import Clusters, ConnectedCluster
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.probe import ProbeTarget
from orchestune.images.builds.tools import Tool
from orchestune.kubeapi.errors import PermissionMissing
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer

if TYPE_CHECKING:
    from orchestune import documents

Cli = Callable[..., Result]
PLAIN = Paint(False)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path))
    monkeypatch.delenv("ORCHESTUNE_CLUSTER", raising=False)
    return tmp_path


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Of a cluster that is not there."""
    file = tmp_path / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "ada", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "ada", "namespace": "ml"}}],
    }
    file.write_text(json.dumps(document))
    return file


def machine(name: str, pool: str, gpu: int = 0, others: bool = True, trouble: str | None = None) -> dict[str, Any]:
    held = {"cpu": 0.5, "memory": 2**29, "gpu": 0}
    has = {"cpu": 4.0, "memory": 8 * 2**30, "gpu": gpu}
    ours = {"cpu": 1.0, "memory": 2**30, "gpu": 0}
    return {
        "name": name,
        "pool": pool,
        "has": has,
        "ours": ours,
        "others": held if others else None,
        "trouble": trouble,
    }


def cluster(*machines: dict[str, Any], **more: Any) -> documents.Cluster:
    document = {"schema": 1, "cluster": "lab", "clusters": ["lab"], "elastic": False, "experiments": [], **more}
    return cast("documents.Cluster", {**document, "machines": list(machines)})


@pytest.mark.parametrize(("pool", "mark"), [
    ("gpu", "0-gpu"), ("", "0-any"), ("GPU_A100", "0-gpu-a100"), ("ml.t3.medium.large.spot", "0-ml-t3-medium-large"),
    ("a-very-long-name-a.b", "0-a-very-long-name-a"), ("_x_", "0-x"),
])  # fmt: skip
def test_a_pod_is_tried_in_a_pool_of_any_name(pool: str, mark: str) -> None:
    assert mark_of(0, pool) == mark


def test_pods_that_two_people_try_at_once_are_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop-of-ada")
    hers = own_mark(0, "gpu")
    assert own_mark(0, "gpu") == hers  # what an interrupted test has left is found again
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop-of-bob")
    assert own_mark(0, "gpu") != hers and own_mark(0, "gpu").startswith("0-gpu-")


def test_who_interrupts_is_told_that_the_same_command_goes_on() -> None:
    console = Console(err=io.StringIO())
    with pytest.raises(KeyboardInterrupt), repeatable(console):
        raise KeyboardInterrupt
    assert console.err.getvalue() == "interrupted: repeat the command to continue\n"  # type: ignore[attr-defined]


def test_a_name_that_is_known_is_not_given_to_a_cluster_elsewhere(state: Path, kubeconfig: Path, cli: Cli) -> None:
    document = json.loads(kubeconfig.read_text())
    document["clusters"].append({"name": "far", "cluster": {"server": "http://127.0.0.1:10"}})
    document["contexts"].append({"name": "far", "context": {"cluster": "far", "user": "ada", "namespace": "ml"}})
    kubeconfig.write_text(json.dumps(document))
    lab = ConnectedCluster("lab", "kubernetes", str(kubeconfig), "lab", "ml")
    Clusters(state).add(lab)
    for words in (["--context", "far"], ["--namespace", "other"]):
        for command in ("connect", "destroy"):
            refused = cli("cluster", command, "-n", "lab", "--kubeconfig", str(kubeconfig), *words, "--yes")
            assert refused.code == 2
            assert "'lab' is the Kubernetes cluster in the namespace ml of the context lab" in refused.err
            assert "orchestune cluster disconnect -n lab" in refused.err
    hosted = cli("cluster", "connect", "-n", "lab", "--server", "http://127.0.0.1:9")
    assert hosted.code == 2 and "in the namespace ml of the context lab" in hosted.err
    assert Clusters(state).connected() == (lab,)


def test_a_context_that_has_another_name_now_leads_to_the_same_cluster(state: Path, kubeconfig: Path, cli: Cli) -> None:
    Clusters(state).add(ConnectedCluster("lab", "kubernetes", str(kubeconfig), "older", "ml"))
    tried = cli("cluster", "connect", "-n", "lab", "--kubeconfig", str(kubeconfig), "--context", "lab")
    assert tried.code == 3 and "http://127.0.0.1:9 cannot be reached" in tried.err


def test_a_hosted_server_is_joined_remembered_for_its_owner_alone_and_forgotten(
    server: FakeServer, state: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = server.environment()
    monkeypatch.delenv("ORCHESTUNE_SERVER")
    joined = cli("cluster", "connect", "-n", "team", "--server", connection["ORCHESTUNE_SERVER"])
    assert joined.code == 0, joined.err
    assert joined.out.startswith("team: connected, server ")
    monkeypatch.delenv("ORCHESTUNE_TOKEN")
    assert (state / "clusters.json").stat().st_mode & 0o077 == 0
    assert connection["ORCHESTUNE_TOKEN"] not in cli("cluster", "list", "--json").out
    assert cli("status", "--cluster", "team").code == 0
    assert cli("cluster", "use", "team").code == 0
    assert json.loads(cli("cluster", "list", "--json").out)[0]["name"] == "team"
    assert cli("cluster", "disconnect", "-n", "team").code == 0
    assert [item["name"] for item in json.loads(cli("cluster", "list", "--json").out)] == ["local", "docker", "slurm"]
    again = cli("cluster", "disconnect", "-n", "team")
    assert again.code == 0 and "not connected" in again.err


def test_a_hosted_server_without_a_token_is_asked_for_one_where_somebody_sits(
    server: FakeServer, state: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.environment()["ORCHESTUNE_SERVER"]
    monkeypatch.delenv("ORCHESTUNE_SERVER")
    monkeypatch.delenv("ORCHESTUNE_TOKEN")
    refused = cli("cluster", "connect", "-n", "team", "--server", address)
    assert refused.code == 2 and "no token" in refused.err and "ORCHESTUNE_TOKEN" in refused.err
    monkeypatch.setenv("ORCHESTUNE_TOKEN", "x" * 20)
    assert cli("cluster", "connect", "-n", "team", "--server", "team.example").code == 2
    assert cli("cluster", "connect", "-n", "team", "--server", "http://team.example:port").code == 2
    assert not (state / "clusters.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["connect", "-n", "local"], 2, "reserved cluster name: 'local'"),
        (["connect", "-n", "lab", "--context", "west"], 2, "has no context 'west'"),
        (["connect", "-n", "lab", "--storage-class", "a", "--claim", "b"], 2, "not allowed with"),
        (["connect", "-n", "lab"], 3, "cannot be reached"),
        (["destroy", "-n", "lab", "--yes"], 3, "--abandon forgets the cluster"),
        (["upgrade", "-n", "nowhere"], 2, "no such cluster: 'nowhere'"),
        (["upgrade"], 2, "(expected a Kubernetes cluster)"),
        (
            ["test", "-n", "docker"],
            2,
            "(expected a Kubernetes cluster)\nhint:  name one with -n; `orchestune doctor` checks",
        ),
        (["disconnect", "-n", "lab", "--to", "x"], 2, "--to needs --archive"),
        (["use", "nowhere"], 2, "no such cluster: 'nowhere'"),
    ],
)
def test_wrong_use_and_clusters_that_are_away_are_told(
    words: list[str], code: int, message: str, state: Path, kubeconfig: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    result = cli("cluster", *words)
    assert message in result.err
    assert result.code == code
    assert not (state / "clusters.json").exists()


def test_a_cluster_that_is_gone_for_good_is_forgotten_where_that_is_said(
    state: Path, kubeconfig: Path, cli: Cli
) -> None:
    Clusters(state).add(ConnectedCluster("lab", "kubernetes", str(kubeconfig), "lab", "ml"))
    result = cli("cluster", "destroy", "-n", "lab", "--yes", "--abandon")
    assert result.code == 0 and "the cluster was not changed" in result.err
    assert Clusters(state).connected() == ()


def test_status_shows_pools_nodes_and_why_experiments_wait() -> None:
    experiment = {
        "id": "e", "handle": "sgd-7f3a", "name": "sgd", "owner": "ada", "state": "pending", "desired": "running",
        "running": 0, "parallelism": 4, "each": {"cpu": 1, "memory": None, "gpu": 1}, "workers": 1,
        "waiting": "needs 1 gpu, 0 of 4 free",
    }  # fmt: skip
    table = lines(
        cluster(
            machine("cpu1", "cpu"), machine("cpu2", "cpu", trouble="not ready"), machine("gpu1", "gpu", gpu=4),
            experiments=[experiment], elastic=True,
        ),
        PLAIN,
    )  # fmt: skip
    text = "\n".join(table)
    assert [line.split()[:5] for line in table[1:3]] == [["cpu", "2", "8", "2", "1"], ["gpu", "1", "4", "1", "0.5"]]
    assert "cpu2: not ready" in text and "capacity may grow" in text
    assert "needs 1 gpu, 0 of 4 free" in text


def test_status_says_unknown_where_others_are_not_seen_and_says_so_where_nothing_is() -> None:
    assert "unknown" in "\n".join(lines(cluster(machine("cpu1", "cpu", others=False)), PLAIN))
    assert lines(cluster(), PLAIN)[0] == "nodes are not visible to the server"


def test_a_pod_is_tried_once_in_each_pool_on_nodes_that_are_well() -> None:
    targets = pools(cluster(machine("a", "cpu"), machine("b", "cpu", trouble="cordoned"), machine("c", "gpu", gpu=2)))
    assert targets == [ProbeTarget("cpu", ("a",), 0), ProbeTarget("gpu", ("c",), 1)]
    assert pools(cluster()) == [ProbeTarget("any")]
    assert pools(None) == [ProbeTarget("any")]


class Reviews:
    """An API server that says what its caller may do, and shows a namespace (None: hides it)."""

    def __init__(self, *lacking: str, enforce: str | None = None) -> None:
        self._lacking, self._enforce = lacking, enforce

    def get(self, version: str, kind: str, name: str) -> dict[str, Any]:
        if self._enforce is None:
            raise PermissionMissing("no")
        return {"metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": self._enforce}}}

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": f"{attributes['verb']} {attributes['resource']}" not in self._lacking}}


@pytest.mark.parametrize(
    ("tool", "lacking", "enforce", "ok", "detail"),
    [
        (Tool("podman"), "create jobs", "restricted", "ok", "podman on this machine builds images"),
        (None, "", None, "ok", "images are built by a Job in the cluster"),
        (None, "", "baseline", "ok", "images are built by a Job in the cluster"),
        (None, "", "restricted", "warning", "Pod Security `restricted` of the namespace forbids"),
        (None, "create jobs", "restricted", "warning", "in the cluster this user may not create jobs.batch"),
    ],
)
def test_who_builds_images_is_told_or_what_is_missing_for_it(
    monkeypatch: pytest.MonkeyPatch, tool: Tool | None, lacking: str, enforce: str | None, ok: str, detail: str
) -> None:
    monkeypatch.setattr(checks, "find_tool", lambda: tool)
    api = cast("Any", Reviews(lacking, enforce=enforce))
    [check] = building(api, ConnectionSettings("lab", "ml", registry="registry.lab:5000"))
    assert check.state == ok and detail in check.detail
    assert list(building(api, ConnectionSettings("lab", "ml"))) == []


def test_what_commands_about_clusters_have_done_is_told_as_documents_too(
    state: Path, kubeconfig: Path, cli: Cli, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "release", lambda self, node, cluster: None)

    def document(*words: str) -> Any:
        result = cli("cluster", *words, "--json")
        assert (result.code, result.err) == (0, "")
        return json.loads(result.out)

    Clusters(state).add(ConnectedCluster("lab", "kubernetes", str(kubeconfig), "lab", "ml"))
    assert document("use", "lab") == {"default": "lab"}
    assert document("disconnect", "-n", "lab") == {"name": "lab", "forgotten": True}
    assert document("disconnect", "-n", "lab") == {"name": "lab", "forgotten": False}
    assert document("release", "gpu-7") == {"node": "gpu-7"}
    Clusters(state).add(ConnectedCluster("lab", "kubernetes", str(kubeconfig), "lab", "ml"))
    result = cli("cluster", "destroy", "-n", "lab", "--yes", "--abandon", "--json")
    assert json.loads(result.out) == {"name": "lab", "removed": [], "left": []}


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ((), {}),
        (("--autoscaling",), {"elastic": True}),
        (("--no-autoscaling",), {"elastic": False}),
        (("--ca", "ca.crt"), {"certificates": True}),
        (("--ca", ""), {"certificates": False}),
    ],
)
def test_what_was_said_of_a_cluster_can_be_taken_back(words: tuple[str, ...], changes: dict[str, bool]) -> None:
    args = build_parser(["cluster"]).parse_args(["cluster", "connect", "-n", "lab", *words])
    assert {key: value for key, value in ConnectOptions.of(args).changes.items() if value is not None} == changes
