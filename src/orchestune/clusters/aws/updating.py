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
    said: str
    request: Mapping[str, Any]
    """body of UpdateNodegroupConfig"""

    @property
    def planned(self) -> Planned:
        """The change as named in plans and events."""
        return Planned("pool", self.pool.name, self.said)


def change(cluster: str, pool: Pool, kind: NodeKind, shown: Document) -> PoolChange | None:
    """Return the change that makes a node group match the file; None if it matches already."""
    request: Document = {"clusterName": cluster, "nodegroupName": pool.name}
    said = []
    now = shown["scalingConfig"]
    if (now["minSize"], now["maxSize"]) != (pool.least, pool.most):
        desired = min(max(now["desiredSize"], pool.least), pool.most)
        request["scalingConfig"] = {"minSize": pool.least, "maxSize": pool.most, "desiredSize": desired}
        said.append(f"{now['minSize']} to {now['maxSize']} machines → {pool.least} to {pool.most}")
    labels = _labels(pools.labels(pool, kind), shown.get("labels") or {})
    if labels:
        request["labels"] = labels
        said.append("labels")
    taints = _taints(pools.taints(pool, gpu=kind.gpu), shown.get("taints") or [])
    if taints:
        request["taints"] = taints
        said.append("taints")
    return PoolChange(pool, ", ".join(said), request) if said else None


def _labels(wanted: Mapping[str, str], now: Mapping[str, str]) -> Document:
    made: Document = {}
    changed = {key: value for key, value in wanted.items() if now.get(key) != value}
    gone = sorted(set(now) - set(wanted))
    return made | ({"addOrUpdateLabels": changed} if changed else {}) | ({"removeLabels": gone} if gone else {})


def _taints(wanted: Iterable[Document], now: Iterable[Document]) -> Document:
    wants, has = [_plain(item) for item in wanted], [_plain(item) for item in now]
    changed = [item for item in wants if item not in has]
    kept = {(item["key"], item["effect"]) for item in wants}
    gone = [item for item in has if (item["key"], item["effect"]) not in kept]
    return ({"addOrUpdateTaints": changed} if changed else {}) | ({"removeTaints": gone} if gone else {})


def _plain(taint: Document) -> Document:
    return {key: taint[key] for key in ("key", "value", "effect") if taint.get(key)}


def fixed(pool: Pool, shown: Document) -> list[PlanProblem]:
    """Return complaints about properties that cannot be changed in an existing pool."""
    said = []
    what = f"the pool '{pool.name}' has"
    hint = "give the pool with other machines another name: this one is drained and removed"
    if not pool.any_type and list(shown.get("instanceTypes") or ()) != list(pool.instance_types):
        there = ", ".join(shown.get("instanceTypes") or ())
        said.append(PlanProblem(f"{pool.key}.instance_type", f"{what} {there}, which cannot be changed", hint))
    if (shown.get("capacityType") == "SPOT") != pool.spot:
        there = "spot machines" if shown.get("capacityType") == "SPOT" else "machines on demand"
        said.append(PlanProblem(f"{pool.key}.spot", f"{what} {there}, which cannot be changed", hint))
    disk = (shown.get("tags") or {}).get(pools.DISK, "")
    if disk and disk != str(pool.disk // 2**30):
        said.append(PlanProblem(f"{pool.key}.disk", f"{what} disks of {disk} GiB, which cannot be changed", hint))
    return said
