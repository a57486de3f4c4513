"""Node groups, Auto Scaling groups, instances and the control plane. EKS deletes the groups and their instances."""

from __future__ import annotations

from orchestune.clusters.aws.client import Aws, tag_value
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.steps.control import describe_cluster, is_ours
from orchestune.clusters.aws.steps.pools import describe_group
from orchestune.errors import Conflict, NotFound

_DELETE_TIMEOUT = 2400.0
"""seconds for EKS to drain and delete a node group, or to delete a control plane"""
_EXISTING_STATES = ("pending", "running", "stopping", "stopped", "shutting-down")


def resource_kinds(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order. EKS deletes add-ons, access entries and pod identities with the cluster."""
    return [
        ResourceKind("EKS", "pool", lambda: _node_groups(aws, names), _DELETE_TIMEOUT),
        ResourceKind("Auto Scaling", "group", lambda: _autoscaling_groups(aws, names), _DELETE_TIMEOUT),
        ResourceKind("EC2", "machine", lambda: _instances(aws, names), _DELETE_TIMEOUT),
        ResourceKind("EKS", "control plane", lambda: _control_plane(aws, names), _DELETE_TIMEOUT),
    ]


def refuse_foreign(aws: Aws, names: Names) -> None:
    """Raise Conflict if the cluster, or one of its node groups, is not Orchestune's.

    EKS does not delete a cluster that has node groups, so a foreign one would block the removal halfway.
    """
    cluster = describe_cluster(aws, names.cluster)
    if cluster is None:
        return
    if not is_ours(cluster):
        raise Conflict(
            f"the cluster '{names.cluster}' in {names.region} is not ours: it lacks the tag {TAG}={names.cluster}",
            "delete it with the tool that created it",
        )
    foreign = [name for name in _group_names(aws, names) if not _is_ours(aws, names, name)]
    if foreign:
        raise Conflict(
            f"the cluster '{names.cluster}' has node groups that are not ours: {', '.join(foreign)}",
            "remove them first, then repeat the command",
        )


def _group_names(aws: Aws, names: Names) -> list[str]:
    request = {"clusterName": names.cluster}
    try:
        return [str(name) for name in aws.pages("eks", "ListNodegroups", "nodegroups", request, about="pools")]
    except NotFound:
        return []


def _is_ours(aws: Aws, names: Names, pool: str) -> bool:
    group = describe_group(aws, names.cluster, pool)
    return group is None or (group.get("tags") or {}).get(TAG) == names.cluster


def _node_groups(aws: Aws, names: Names) -> list[Resource]:
    resources = []
    for name in _group_names(aws, names):
        group = describe_group(aws, names.cluster, name)
        if group is None or (group.get("tags") or {}).get(TAG) != names.cluster:
            continue
        request = {"clusterName": names.cluster, "nodegroupName": name}
        is_deleting = group["status"] == "DELETING"

        def delete(request: dict[str, str] = request, is_deleting: bool = is_deleting) -> None:
            if not is_deleting:
                aws.call("eks", "DeleteNodegroup", request, about=f"pool {request['nodegroupName']}")

        resources.append(Resource(name, name, delete))
    return resources


def _autoscaling_groups(aws: Aws, names: Names) -> list[Resource]:
    filters = [{"Name": "tag:eks:cluster-name", "Values": [names.cluster]}]
    pages = aws.pages("autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroups", {"Filters": filters})
    return [Resource(str(group["AutoScalingGroupName"])) for group in pages
            if tag_value(group.get("Tags") or [], "eks:cluster-name") == names.cluster]  # fmt: skip


def _instances(aws: Aws, names: Names) -> list[Resource]:
    filters = [{"Name": f"tag:{TAG}", "Values": [names.cluster]},
               {"Name": "instance-state-name", "Values": list(_EXISTING_STATES)}]  # fmt: skip
    pages = aws.pages("ec2", "DescribeInstances", "Reservations", {"Filters": filters})
    return [Resource(str(group["InstanceId"])) for reservation in pages for group in reservation["Instances"]]


def _control_plane(aws: Aws, names: Names) -> list[Resource]:
    cluster = describe_cluster(aws, names.cluster)
    if cluster is None or not is_ours(cluster):
        return []

    def delete() -> None:
        if cluster["status"] != "DELETING":
            aws.call("eks", "DeleteCluster", {"name": names.cluster}, about=f"control plane {names.cluster}")

    return [Resource(names.cluster, names.cluster, delete)]
