"""From what is there to what the file says."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws import updating
from orchestune.clusters.aws.requests.pools import NodeKind
from tests.unit.clusters.aws import specs

SPEC = "cloud_provider: aws\ncluster_name: x\ncpu: {instance_type: c4.xlarge, min_nodes: 2, max_nodes: 6}\n"


def node_group(**changes: Any) -> dict[str, Any]:
    return {
        "scalingConfig": {"minSize": 2, "maxSize": 6, "desiredSize": 3}, "labels": {"orchestune.dev/pool": "cpu"},
        "taints": [], "instanceTypes": ["c4.xlarge"], "capacityType": "ON_DEMAND",
        "tags": {"orchestune.dev/disk": "100"}, **changes,
    }  # fmt: skip


def change(text: str, current: dict[str, Any]) -> updating.PoolChange | None:
    pool = next(pool for pool in specs.spec(text).pools if pool.name == "cpu")
    return updating.change("x", pool, NodeKind(), current)


def test_what_is_as_the_file_says_is_left_alone() -> None:
    assert change(SPEC, node_group()) is None


def test_another_size_keeps_the_machines_that_run_as_far_as_it_allows() -> None:
    pool_change = change(SPEC.replace("2, max_nodes: 6", "4, max_nodes: 8"), node_group())
    assert pool_change is not None
    assert pool_change.request["scalingConfig"] == {"minSize": 4, "maxSize": 8, "desiredSize": 4}
    assert pool_change.description == "2 to 6 nodes → 4 to 8"
    pool_change = change(SPEC.replace("2, max_nodes: 6", "1, max_nodes: 2"), node_group())
    assert pool_change is not None
    assert pool_change.request["scalingConfig"]["desiredSize"] == 2


def test_labels_and_taints_come_change_and_go() -> None:
    text = SPEC.replace("}", ", labels: {team: b}, taints: ['k=v:NoSchedule']}")
    current = node_group(labels={"orchestune.dev/pool": "cpu", "team": "a", "old": "1"},
                  taints=[{"key": "gone", "value": "x", "effect": "NO_EXECUTE"}])  # fmt: skip
    pool_change = change(text, current)
    assert pool_change is not None
    assert pool_change.request["labels"] == {"addOrUpdateLabels": {"team": "b"}, "removeLabels": ["old"]}
    assert pool_change.request["taints"] == {
        "addOrUpdateTaints": [{"key": "k", "value": "v", "effect": "NO_SCHEDULE"}],
        "removeTaints": [{"key": "gone", "value": "x", "effect": "NO_EXECUTE"}],
    }


def test_what_cannot_be_changed_in_place_is_told_at_its_key() -> None:
    pool = specs.spec(SPEC).pools[0]
    current = node_group(instanceTypes=["c5.xlarge"], capacityType="SPOT", tags={"orchestune.dev/disk": "50"})
    problems = updating.immutable_problems(pool, current)
    assert [item.key for item in problems] == ["cpu.instance_type", "cpu.spot", "cpu.disk"]
    assert updating.immutable_problems(pool, node_group()) == []
