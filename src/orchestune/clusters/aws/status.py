"""Status of clusters as reported by EKS, and their access data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import ResourceIds
from orchestune.clusters.aws.names import REPOSITORIES, Names
from orchestune.clusters.aws.steps.control import describe_cluster, is_ours, issues
from orchestune.clusters.aws.steps.pools import describe_group
from orchestune.clusters.aws.steps.storage import bucket_owner, repository
from orchestune.domain.clusters.cluster import CloudStatus, ClusterAddresses, PoolState
from orchestune.errors import NotFound

_UP = ("ACTIVE", "UPDATING")


def cluster_status(aws: Aws, names: Names) -> CloudStatus | None:
    """Return the status of a cluster with its pools; None if Orchestune has none of that name."""
    cluster = describe_cluster(aws, names.cluster)
    if cluster is None or not is_ours(cluster):
        return None
    return CloudStatus(
        names.cluster, aws.region, str(cluster["status"]), str(cluster.get("version", "")), _pools(aws, names.cluster),
        issues(cluster), cluster["status"] in _UP,
    )  # fmt: skip


def list_clusters(aws: Aws, names_for: Callable[[str], Names]) -> list[CloudStatus]:
    """Return the status of all of Orchestune's clusters in the region."""
    statuses = [cluster_status(aws, names_for(str(name))) for name in aws.pages("eks", "ListClusters", "clusters")]
    return [status for status in statuses if status is not None]


def _pools(aws: Aws, cluster: str) -> tuple[PoolState, ...]:
    request = {"clusterName": cluster}
    descriptions = [describe_group(aws, cluster, str(name))
                    for name in aws.pages("eks", "ListNodegroups", "nodegroups", request)]  # fmt: skip
    node_groups = [group for group in descriptions if group is not None]
    pools = {scaling_group["name"]: group["nodegroupName"] for group in node_groups
             for scaling_group in (group.get("resources") or {}).get("autoScalingGroups") or ()}  # fmt: skip
    node_counts = dict.fromkeys(pools.values(), 0)
    if pools:
        filters = {"AutoScalingGroupNames": sorted(pools)}
        for scaling_group in aws.pages("autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroups", filters):
            states = [instance.get("LifecycleState") for instance in scaling_group.get("Instances") or ()]
            node_counts[pools[scaling_group["AutoScalingGroupName"]]] += states.count("InService")
    return tuple(_pool(group, node_counts.get(group["nodegroupName"], 0)) for group in node_groups)


def _pool(group: dict[str, Any], node_count: int) -> PoolState:
    scaling = group["scalingConfig"]
    return PoolState(
        str(group["nodegroupName"]), str(group["status"]), tuple(group.get("instanceTypes") or ()),
        int(scaling["minSize"]), node_count, int(scaling["maxSize"]), group.get("capacityType") == "SPOT",
        issues(group),
    )  # fmt: skip


def cluster_addresses(aws: Aws, names: Names, ids: ResourceIds) -> ClusterAddresses:
    """Return endpoint, registry and bucket of an existing cluster. Raises NotFound if absent."""
    cluster = describe_cluster(aws, names.cluster)
    if cluster is None:
        raise NotFound(f"no such cluster in {aws.region}: '{names.cluster}'")
    first = REPOSITORIES[0]
    address = ids.get(f"repository-{first}") or (repository(aws, names, first) or {}).get("repositoryUri", "")
    bucket = ids.get("bucket") or (names.bucket if bucket_owner(aws, names) == names.cluster else "")
    return ClusterAddresses(
        str(cluster["endpoint"]), str(cluster["certificateAuthority"]["data"]), address.removesuffix(f"/{first}"),
        f"s3://{bucket}/files" if bucket else "",
    )  # fmt: skip
