"""Node groups, Auto Scaling groups, instances and the control plane."""

from __future__ import annotations

from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.steps.control import described, ours
from orchestune.clusters.aws.steps.pools import described as described_pool
from orchestune.errors import Conflict, NotFound

_SECONDS = 2400.0
_ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")


def shelves(aws: Aws, names: Names) -> list[ResourceKind]:
    """Return the kinds in removal order. EKS deletes add-ons, access entries and pod identities with the cluster."""
    return [
        ResourceKind("EKS", "pool", lambda: _pools(aws, names), _SECONDS),
        ResourceKind("Auto Scaling", "group", lambda: _groups(aws, names), _SECONDS),
        ResourceKind("EC2", "machine", lambda: _machines(aws, names), _SECONDS),
        ResourceKind("EKS", "control plane", lambda: _control(aws, names), _SECONDS),
    ]


def refuse_others(aws: Aws, names: Names) -> None:
    """Raise Conflict if the cluster, or one of its node groups, is not Orchestune's."""
    found = described(aws, names.cluster)
    if found is None:
        return
    if not ours(found):
        raise Conflict(
            f"the cluster '{names.cluster}' in {names.region} is not ours: it lacks the tag {TAG}={names.cluster}",
            "whoever made it removes it",
        )
    strange = [name for name in _listed(aws, names) if not _is_ours(aws, names, name)]
    if strange:
        raise Conflict(
            f"the cluster '{names.cluster}' has node groups that are not ours: {', '.join(strange)}",
            "remove them first, then repeat the command",
        )


def _listed(aws: Aws, names: Names) -> list[str]:
    request = {"clusterName": names.cluster}
    try:
        return [str(name) for name in aws.pages("eks", "ListNodegroups", "nodegroups", request, about="pools")]
    except NotFound:
        return []


def _is_ours(aws: Aws, names: Names, pool: str) -> bool:
    shown = described_pool(aws, names.cluster, pool)
    return shown is None or (shown.get("tags") or {}).get(TAG) == names.cluster


def _pools(aws: Aws, names: Names) -> list[Resource]:
    found = []
    for name in _listed(aws, names):
        shown = described_pool(aws, names.cluster, name)
        if shown is None or (shown.get("tags") or {}).get(TAG) != names.cluster:
            continue
        request = {"clusterName": names.cluster, "nodegroupName": name}
        going = shown["status"] == "DELETING"

        def remove(request: dict[str, str] = request, going: bool = going) -> None:
            if not going:
                aws.call("eks", "DeleteNodegroup", request, about=f"pool {request['nodegroupName']}")

        found.append(Resource(name, name, remove))
    return found


def _groups(aws: Aws, names: Names) -> list[Resource]:
    filters = [{"Name": "tag:eks:cluster-name", "Values": [names.cluster]}]
    pages = aws.pages("autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroups", {"Filters": filters})
    return [Resource(str(item["AutoScalingGroupName"])) for item in pages
            if named(item.get("Tags") or [], "eks:cluster-name") == names.cluster]  # fmt: skip


def _machines(aws: Aws, names: Names) -> list[Resource]:
    filters = [{"Name": f"tag:{TAG}", "Values": [names.cluster]},
               {"Name": "instance-state-name", "Values": list(_ALIVE)}]  # fmt: skip
    pages = aws.pages("ec2", "DescribeInstances", "Reservations", {"Filters": filters})
    return [Resource(str(item["InstanceId"])) for one in pages for item in one["Instances"]]


def _control(aws: Aws, names: Names) -> list[Resource]:
    found = described(aws, names.cluster)
    if found is None or not ours(found):
        return []

    def remove() -> None:
        if found["status"] != "DELETING":
            aws.call("eks", "DeleteCluster", {"name": names.cluster}, about=f"control plane {names.cluster}")

    return [Resource(names.cluster, names.cluster, remove)]
