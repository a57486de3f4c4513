"""The server is moved away from nodes that are lost, and from no others."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.clusters.existing import recovery
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.kubeapi.labels import SERVERS
from tests.unit.clusters.world import World

CONNECTION = ConnectionSettings("lab", "ml")


def node(name: str, ready: str) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-12-01T03:00:00Z"}
    condition["message"] = "Kubelet stopped posting node status."
    metadata = {"name": name, "resourceVersion": "7"}
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    status = {"conditions": [{"type": "DiskPressure", "status": "Unknown"}, condition]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": [taint]}, "status": status}


def pod(name: str, node_name: str | None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ml", "uid": f"uid-{name}", "labels": dict(SERVERS)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node_name}, "status": {}}


def test_only_pods_on_nodes_that_do_not_answer_are_lost() -> None:
    world = World(
        node("off", "Unknown"), node("on", "True"), pod("a", "off"), pod("b", "on"), pod("c", None), pod("d", "deleted")
    )
    lost = recovery.lost_pods(world.api, CONNECTION)
    assert [(each.name, each.node, each.holds) for each in lost] == [
        ("a", "off", "orchestune-data"), ("d", "deleted", "orchestune-data"),
    ]  # fmt: skip
    assert lost[0].reason == "not ready since 2026-12-01T03:00:00Z: Kubelet stopped posting node status."
    assert lost[1].reason == "it was deleted from the cluster"


@pytest.mark.parametrize(
    ("connection", "claim"),
    [
        (ConnectionSettings("lab", "ml", claim="mine"), "mine"),
        (ConnectionSettings("lab", "ml", database=True, files="s3://bucket"), ""),
    ],
)
def test_the_claim_that_the_pod_holds_is_named(connection: ConnectionSettings, claim: str) -> None:
    world = World(node("off", "False"), pod("a", "off"))
    assert [each.holds for each in recovery.lost_pods(world.api, connection)] == [claim]


def test_a_pod_is_deleted_without_waiting_for_its_node_and_by_its_uid() -> None:
    world = World(node("off", "Unknown"), pod("a", "off"))
    [lost] = recovery.lost_pods(world.api, CONNECTION)
    recovery.delete_pod(world.api, CONNECTION, lost)
    place = "/api/v1/namespaces/ml/pods/a"
    assert world.deleted == {place: {"gracePeriodSeconds": 0, "preconditions": {"uid": "uid-a"}}}
    recovery.delete_pod(world.api, CONNECTION, lost)  # its replacement has another uid: nothing to do


def test_a_node_keeps_its_other_taints_and_gets_the_new_one_once() -> None:
    world = World(node("off", "Unknown"))
    assert recovery.mark_out_of_service(world.api, "off") and recovery.mark_out_of_service(world.api, "off")
    taints = world.objects["/api/v1/nodes/off"]["spec"]["taints"]
    assert [taint["key"] for taint in taints] == ["node.kubernetes.io/unreachable", recovery.TAINT]
    assert not recovery.mark_out_of_service(world.api, "gone")
