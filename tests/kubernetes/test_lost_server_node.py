"""The node of the server loses its power: the client says so, and `cluster recover` starts the server elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.lab import Lab
from tests.kubernetes.test_promises import assert_exact, client, launch
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.registry import Registry
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]
SERVER = "app.kubernetes.io/component=server"


@pytest.fixture
def lab(own_kubernetes: Cluster, namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    with Lab(own_kubernetes, namespace, registry) as new_lab:
        new_lab.connect("--server-image", server_image)
        new_lab.home.run("cluster", "use", new_lab.name)
        yield new_lab
        client(new_lab).close()
        own_kubernetes.heal()
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


def node_of_server(lab: Lab) -> str:
    path = "jsonpath={.items[0].spec.nodeName}"
    return lab.cluster.kubectl("get", "pods", "-n", lab.namespace, "-l", SERVER, "-o", path).strip()


def test_the_server_is_recovered_from_a_node_without_power(lab: Lab, own_kubernetes: Cluster, shell: str) -> None:
    assert "nothing was changed" in lab.run("recover", "--yes").stdout
    small = {"cpu": "100m", "memory": "64Mi"}
    handle = launch(lab, shell, budget=4, parallelism=2, run="sleep 5; echo score={x}", resources=small)
    node = node_of_server(lab)
    own_kubernetes.lose_node(node)

    def refusal() -> str:
        return lab.home.run("status", handle, expect=None).stderr

    until("the client to name the lost node", lambda: f"node {node} is probably lost" in refusal(), 300, refusal)
    assert f"orchestune cluster recover -n {lab.name}" in refusal()
    recovered = lab.run("recover", "--yes", "--json")
    assert f"on node {node}, and holds the claim orchestune-data; the node is lost: not ready since" in recovered.stderr
    assert node_of_server(lab) != node
    assert_exact(lab, handle, 4, 2)
