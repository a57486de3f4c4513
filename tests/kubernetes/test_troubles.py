"""The API server is down, a node is lost: running trials continue, lost ones run on other nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.line import Line
from tests.testbeds.server import FIRST_TAKES_LONG, Lab
from tests.testbeds.waiting import until
from tests.testbeds.workers import Images

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def line(kubernetes: Access) -> Iterator[Line]:
    """Between the server and the API server."""
    parts = urlsplit(_address(kubernetes))
    with Line(str(parts.hostname), parts.port or 443) as network_line:
        yield network_line


@pytest.fixture
def far_lab(kubernetes: Access, namespace: str, worker_images: Images, tmp_path: Path, line: Line) -> Iterator[Lab]:
    """A server that reaches the cluster by a line."""
    config = json.loads(kubernetes.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    for entry in config["clusters"]:
        entry["cluster"]["tls-server-name"] = urlsplit(entry["cluster"]["server"]).hostname
        entry["cluster"]["server"] = f"https://127.0.0.1:{line.port}"
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    with Lab(kubernetes, namespace, worker_images, tmp_path, kubeconfig=str(file)) as running:
        yield running


def _address(kubernetes: Access) -> str:
    config = json.loads(kubernetes.kubectl("config", "view", "--minify", "-o", "json"))
    return str(config["clusters"][0]["cluster"]["server"])


def test_without_its_api_server_trials_go_on_and_nothing_is_lost(far_lab: Lab, line: Line) -> None:
    handle = far_lab.run(budget=8, parallelism=1, env={"SECONDS_EACH": "2"})
    far_lab.wait_running(handle)
    line.cut()
    before = far_lab.status(handle)["counts"]["completed"]
    done = lambda: far_lab.status(handle)["counts"]["completed"] >= before + 2
    until("two trials to end meanwhile", done, 170, lambda: far_lab.diagnostics(handle))
    line.mend()
    assert far_lab.wait(handle)["counts"]["completed"] == 8
    states = {attempt["state"] for number in range(1, 9) for attempt in far_lab.trial(handle, number)["attempts"]}
    assert states == {"succeeded"}
    until("everything to be gone", lambda: not far_lab.leftovers(), describe=far_lab.leftovers)


def test_an_experiment_that_is_stopped_meanwhile_goes_once_the_api_server_is_back(far_lab: Lab, line: Line) -> None:
    handle = far_lab.run(budget=2, parallelism=2, env={"SECONDS_EACH": "600"})
    far_lab.wait_running(handle)
    line.cut()
    far_lab.home.run("stop", handle)
    line.mend()
    until("everything to be gone", lambda: not far_lab.leftovers(), describe=far_lab.leftovers)
    assert far_lab.wait(handle, "stopped")["counts"]["running"] == 0


def test_trials_of_a_node_that_vanished_run_elsewhere(
    own_kubernetes: Cluster, namespace: str, worker_images: Images, tmp_path: Path
) -> None:
    with Lab(own_kubernetes, namespace, worker_images, tmp_path) as lab:
        handle = lab.run(FIRST_TAKES_LONG, budget=1)
        lab.wait_running(handle)
        node = lab.status(handle)["workers"][0]["node"]
        own_kubernetes.lose_node(node)
        assert lab.wait(handle)["counts"]["completed"] == 1
        first, second = lab.trial(handle)["attempts"]
        assert (first["state"], second["state"]) == ("lost", "succeeded")
        assert second["node"] != node
        until("everything to be gone", lambda: not lab.leftovers(), describe=lab.leftovers)
