"""Following from a laptop continues when the laptop sleeps, changes network, or the server gets another pod."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestune.client.clusters import Clusters, ConnectedCluster
from tests.kubernetes.lab import Lab, bind, kubeconfig_of, may, role
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.line import Line
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]

LINES = 150
PRINT_LINES = f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep 0.2; done; echo score={{x}}"
SERVER = "app.kubernetes.io/part-of=orchestune,app.kubernetes.io/component=server"


@pytest.fixture(scope="module")
def line(kubernetes: Access) -> Iterator[Line]:
    """The network between the laptop and the API server."""
    address = urlsplit(described(kubernetes)["clusters"][0]["cluster"]["server"])
    with Line(address.hostname or "", address.port or 443) as network_line:
        yield network_line


@pytest.fixture(scope="module")
def lab(
    kubernetes: Access,
    shared_namespace: str,
    registry: Registry,
    server_image: str,
    line: Line,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """A connected cluster whose API server is reached over the line."""
    document = described(kubernetes)
    cluster = document["clusters"][0]["cluster"]
    cluster["server"] = f"https://127.0.0.1:{line.port}"
    cluster["tls-server-name"] = "kubernetes"
    kubeconfig = tmp_path_factory.mktemp("laptop") / "kubeconfig"
    kubeconfig.write_text(json.dumps(document))
    with Lab(kubernetes, shared_namespace, registry, kubeconfig) as new_lab:
        new_lab.connect("--server-image", server_image)
        yield new_lab
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


def described(kubernetes: Access) -> dict[str, list[dict[str, dict[str, str]]]]:
    """The administrator's kubeconfig, certificates included."""
    kubeconfig_document: dict[str, list[dict[str, dict[str, str]]]] = kubernetes.json(
        "config", "view", "--raw", "--minify", "--flatten"
    )
    return kubeconfig_document


def test_a_log_is_followed_without_a_gap_over_cuts_a_sleep_and_a_new_pod_of_the_server(
    lab: Lab, line: Line, shell: str, kubernetes: Access
) -> None:
    folder = lab.experiment(shell, run=PRINT_LINES, budget=1, parallelism=1, keep=[])
    handle = lab.home.run("run", "--cluster", lab.name, "--detach", cwd=folder).stdout.strip()
    log_lines: list[str] = []
    with another(lab, kubernetes.kubeconfig) as desk, lab.home.start("logs", "--follow", cwd=folder) as following:
        assert following.stdout is not None
        reading = threading.Thread(target=lambda: log_lines.extend(following.stdout or ()))
        reading.start()

        def more(count: int) -> None:
            expected_count = len(log_lines) + count
            until(f"{count} more lines", lambda: len(log_lines) >= expected_count, describe=lambda: log_lines[-3:])

        more(3)
        line.cut()
        until("the trial to go on unseen", lambda: len(lines(desk, handle)) > len(log_lines) + 5)
        line.mend()
        more(10)
        line.silence()
        line.mend()
        more(10)
        kubernetes.kubectl("delete", "pod", "-n", lab.namespace, "-l", SERVER, "--wait=false")
        more(10)
        reading.join(120)
        assert following.wait(60) == 0
    assert [item.rpartition("│ ")[2].strip() for item in log_lines[:LINES]] == [f"line {n + 1}" for n in range(LINES)]
    assert ["score=" in item for item in log_lines[LINES:]] == [True], log_lines[LINES:]
    assert line.made > 6


def lines(lab: Lab, handle: str) -> list[str]:
    """Return the log so far."""
    return lab.home.run("logs", handle, "--cluster", lab.name).stdout.splitlines()


@contextmanager
def another(lab: Lab, kubeconfig: Path) -> Iterator[Lab]:
    """Another user's laptop that knows the cluster; no connection is open yet."""
    with Lab(lab.cluster, lab.namespace, lab.registry, kubeconfig) as new_lab:
        new_lab.name = lab.name
        connected_cluster = ConnectedCluster(lab.name, "kubernetes", str(kubeconfig), None, lab.namespace, user="vera")
        Clusters(new_lab.home.folder).add(connected_cluster)
        yield new_lab


@pytest.fixture(scope="module")
def viewer(lab: Lab, kubernetes: Access, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of a user who is a viewer and nothing else."""
    path = kubeconfig_of(kubernetes, "vera", lab.namespace, tmp_path_factory.mktemp("vera") / "kubeconfig")
    bind(kubernetes, lab.namespace, "vera", "viewer")
    return path


def test_a_viewer_sees_everything_and_is_told_why_nothing_can_be_changed(lab: Lab, shell: str, viewer: Path) -> None:
    folder = lab.experiment(shell)
    handle = lab.home.json("run", "--cluster", lab.name, "--detach", cwd=folder)["handle"]
    with another(lab, viewer) as vera:
        vera.home.run("cluster", "use", vera.name)
        assert vera.home.json("status", handle)["owner"]
        refused = vera.home.run("stop", handle, expect=2).stderr
        assert "vera is a viewer of this server (expected an editor)" in refused


@pytest.mark.parametrize(
    ("resource", "missing"),
    [
        ("serviceaccounts/token", "you may not create serviceaccounts/token"),
        ("pods", "you may not list pods"),
        ("pods/portforward", "you may not (create|get) pods/portforward"),
    ],
)
def test_a_right_that_is_missing_is_named_with_its_verb(
    lab: Lab, kubernetes: Access, tmp_path: Path, resource: str, missing: str
) -> None:
    account = f"without-{resource.replace('/', '-')}"
    rules = kubernetes.json("get", "role", "orchestune-editor", "-n", lab.namespace)["rules"]
    remaining_rules = [rule for rule in rules if resource not in rule["resources"]]
    assert len(remaining_rules) < len(rules)
    kubeconfig = kubeconfig_of(kubernetes, account, lab.namespace, tmp_path / "kubeconfig")
    for manifest in role(account, lab.namespace, remaining_rules, account):
        kubernetes.apply(manifest)
    until(
        "the Role to count",
        lambda: may(
            kubernetes, "auth", "can-i", "get", "deployments/orchestune-server", "-n", lab.namespace,
            f"--as=system:serviceaccount:{lab.namespace}:{account}"),
    )  # fmt: skip
    with another(lab, kubeconfig) as other:
        failed = other.home.run("status", "--cluster", lab.name, expect=2).stderr
    assert re.search(f"{missing} in the namespace {lab.namespace} of cluster '{lab.name}'", failed), failed
