"""Status of clusters as reported by EKS, and their access data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Made
from orchestune.clusters.aws.names import REPOSITORIES, Names
from orchestune.clusters.aws.steps.control import described, issues, ours
from orchestune.clusters.aws.steps.pools import described as described_pool
from orchestune.clusters.aws.steps.storage import bucket_owner, repository
from orchestune.domain.clusters.cluster import CloudStatus, ClusterAddresses, PoolState
from orchestune.errors import NotFound

_UP = ("ACTIVE", "UPDATING")


def standing(aws: Aws, names: Names) -> CloudStatus | None:
    """Return the status of a cluster with its pools; None if Orchestune has none of that name."""
    found = described(aws, names.cluster)
    if found is None or not ours(found):
        return None
    return CloudStatus(
        names.cluster, aws.region, str(found["status"]), str(found.get("version", "")), _pools(aws, names.cluster),
        issues(found), found["status"] in _UP,
    )  # fmt: skip


def listed(aws: Aws, named: Callable[[str], Names]) -> list[CloudStatus]:
    """Return the status of all of Orchestune's clusters in the region."""
    found = [standing(aws, named(str(name))) for name in aws.pages("eks", "ListClusters", "clusters")]
    return [item for item in found if item is not None]


def _pools(aws: Aws, cluster: str) -> tuple[PoolState, ...]:
    request = {"clusterName": cluster}
    shown = [described_pool(aws, cluster, str(name))
             for name in aws.pages("eks", "ListNodegroups", "nodegroups", request)]  # fmt: skip
    there = [item for item in shown if item is not None]
    groups = {group["name"]: item["nodegroupName"] for item in there
              for group in (item.get("resources") or {}).get("autoScalingGroups") or ()}  # fmt: skip
    now = dict.fromkeys(groups.values(), 0)
    if groups:
        request_groups = {"AutoScalingGroupNames": sorted(groups)}
        for item in aws.pages("autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroups", request_groups):
            alive = [one for one in item.get("Instances") or () if one.get("LifecycleState") == "InService"]
            now[groups[item["AutoScalingGroupName"]]] += len(alive)
    return tuple(_pool(item, now.get(item["nodegroupName"], 0)) for item in there)


def _pool(item: dict[str, Any], now: int) -> PoolState:
    scaling = item["scalingConfig"]
    return PoolState(
        str(item["nodegroupName"]), str(item["status"]), tuple(item.get("instanceTypes") or ()),
        int(scaling["minSize"]), now, int(scaling["maxSize"]), item.get("capacityType") == "SPOT", issues(item),
    )  # fmt: skip


def reached(aws: Aws, names: Names, made: Made) -> ClusterAddresses:
    """Return endpoint, registry and bucket of an existing cluster. Raises NotFound if absent."""
    found = described(aws, names.cluster)
    if found is None:
        raise NotFound(f"there is no cluster '{names.cluster}' in {aws.region}")
    first = REPOSITORIES[0]
    address = made.get(f"repository-{first}") or (repository(aws, names, first) or {}).get("repositoryUri", "")
    bucket = made.get("bucket") or (names.bucket if bucket_owner(aws, names) == names.cluster else "")
    return ClusterAddresses(
        str(found["endpoint"]), str(found["certificateAuthority"]["data"]), address.removesuffix(f"/{first}"),
        f"s3://{bucket}/files" if bucket else "",
    )  # fmt: skip
