"""Differences between existing pools and those of the file: sizes, labels, taints, immutable properties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.clusters.aws.requests import pools
from orchestune.clusters.aws.requests.pools import NodeKind
from orchestune.domain.clusters.cluster import Planned, PlanProblem, Pool

Document = dict[str, Any]


@dataclass(frozen=True)
class PoolChange:
    """Change of an existing pool's size, labels or taints."""

    pool: Pool
    description: str
    request: Mapping[str, Any]
    """body of UpdateNodegroupConfig"""

    @property
    def planned(self) -> Planned:
        """The change as named in plans and events."""
        return Planned("pool", self.pool.name, self.description)


def change(cluster: str, pool: Pool, kind: NodeKind, group: Document) -> PoolChange | None:
    """Return the change that makes a node group match the file; None if it matches already.

    The desired size is kept within the new limits: the autoscaler owns it, and nodes that run must stay.
    """
    request: Document = {"clusterName": cluster, "nodegroupName": pool.name}
    changes = []
    scaling = group["scalingConfig"]
    if (scaling["minSize"], scaling["maxSize"]) != (pool.min_nodes, pool.max_nodes):
        desired = min(max(scaling["desiredSize"], pool.min_nodes), pool.max_nodes)
        request["scalingConfig"] = {"minSize": pool.min_nodes, "maxSize": pool.max_nodes, "desiredSize": desired}
        changes.append(f"{scaling['minSize']} to {scaling['maxSize']} nodes → {pool.min_nodes} to {pool.max_nodes}")
    labels = _label_updates(pools.labels(pool, kind), group.get("labels") or {})
    if labels:
        request["labels"] = labels
        changes.append("labels")
    taints = _taint_updates(pools.taints(pool, gpu=kind.gpu), group.get("taints") or [])
    if taints:
        request["taints"] = taints
        changes.append("taints")
    return PoolChange(pool, ", ".join(changes), request) if changes else None


def _label_updates(desired: Mapping[str, str], current: Mapping[str, str]) -> Document:
    changed = {key: value for key, value in desired.items() if current.get(key) != value}
    removed = sorted(set(current) - set(desired))
    return ({"addOrUpdateLabels": changed} if changed else {}) | ({"removeLabels": removed} if removed else {})


def _taint_updates(desired: Iterable[Document], current: Iterable[Document]) -> Document:
    """Return the updates. A taint is identified by key and effect: another value is an update, not a removal."""
    new, old = [_without_empty(taint) for taint in desired], [_without_empty(taint) for taint in current]
    changed = [taint for taint in new if taint not in old]
    new_ids = {(taint["key"], taint["effect"]) for taint in new}
    removed = [taint for taint in old if (taint["key"], taint["effect"]) not in new_ids]
    return ({"addOrUpdateTaints": changed} if changed else {}) | ({"removeTaints": removed} if removed else {})


def _without_empty(taint: Document) -> Document:
    return {key: taint[key] for key in ("key", "value", "effect") if taint.get(key)}


def immutable_problems(pool: Pool, group: Document) -> list[PlanProblem]:
    """Return the problems of properties that cannot be changed in an existing pool."""
    problems = []
    subject = f"cannot be changed: the pool '{pool.name}' has"
    hint = "give the new pool another name: the old one is then drained and removed"
    if not pool.any_type and list(group.get("instanceTypes") or ()) != list(pool.instance_types):
        types = ", ".join(group.get("instanceTypes") or ())
        problems.append(PlanProblem(f"{pool.key}.instance_type", f"{subject} {types}", hint))
    is_spot = group.get("capacityType") == "SPOT"
    if is_spot != pool.spot:
        capacity = "spot instances" if is_spot else "on-demand instances"
        problems.append(PlanProblem(f"{pool.key}.spot", f"{subject} {capacity}", hint))
    disk_gib = (group.get("tags") or {}).get(pools.DISK, "")
    if disk_gib and disk_gib != str(pool.disk // 2**30):
        problems.append(PlanProblem(f"{pool.key}.disk", f"{subject} disks of {disk_gib} GiB", hint))
    return problems
