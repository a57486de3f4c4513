"""From what is there to what the file says."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws import updating
from orchestune.clusters.aws.requests.pools import NodeKind
from tests.unit.clusters.aws import specs

SPEC = "cloud_provider: aws\ncluster_name: x\ncpu: {instance_type: c4.xlarge, min_nodes: 2, max_nodes: 6}\n"


def shown(**changes: Any) -> dict[str, Any]:
    return {
        "scalingConfig": {"minSize": 2, "maxSize": 6, "desiredSize": 3}, "labels": {"orchestune.dev/pool": "cpu"},
        "taints": [], "instanceTypes": ["c4.xlarge"], "capacityType": "ON_DEMAND",
        "tags": {"orchestune.dev/disk": "100"}, **changes,
    }  # fmt: skip


def change(text: str, there: dict[str, Any]) -> updating.PoolChange | None:
    pool = next(pool for pool in specs.spec(text).pools if pool.name == "cpu")
    return updating.change("x", pool, NodeKind(), there)


def test_what_is_as_the_file_says_is_left_alone() -> None:
    assert change(SPEC, shown()) is None


def test_another_size_keeps_the_machines_that_run_as_far_as_it_allows() -> None:
    found = change(SPEC.replace("2, max_nodes: 6", "4, max_nodes: 8"), shown())
    assert found is not None
    assert found.request["scalingConfig"] == {"minSize": 4, "maxSize": 8, "desiredSize": 4}
    assert found.description == "2 to 6 nodes → 4 to 8"
    found = change(SPEC.replace("2, max_nodes: 6", "1, max_nodes: 2"), shown())
    assert found is not None
    assert found.request["scalingConfig"]["desiredSize"] == 2


def test_labels_and_taints_come_change_and_go() -> None:
    text = SPEC.replace("}", ", labels: {team: b}, taints: ['k=v:NoSchedule']}")
    there = shown(labels={"orchestune.dev/pool": "cpu", "team": "a", "old": "1"},
                  taints=[{"key": "gone", "value": "x", "effect": "NO_EXECUTE"}])  # fmt: skip
    found = change(text, there)
    assert found is not None
    assert found.request["labels"] == {"addOrUpdateLabels": {"team": "b"}, "removeLabels": ["old"]}
    assert found.request["taints"] == {
        "addOrUpdateTaints": [{"key": "k", "value": "v", "effect": "NO_SCHEDULE"}],
        "removeTaints": [{"key": "gone", "value": "x", "effect": "NO_EXECUTE"}],
    }


def test_what_cannot_be_changed_in_place_is_told_at_its_key() -> None:
    pool = specs.spec(SPEC).pools[0]
    there = shown(instanceTypes=["c5.xlarge"], capacityType="SPOT", tags={"orchestune.dev/disk": "50"})
    found = updating.immutable_problems(pool, there)
    assert [item.key for item in found] == ["cpu.instance_type", "cpu.spot", "cpu.disk"]
    assert updating.immutable_problems(pool, shown()) == []
