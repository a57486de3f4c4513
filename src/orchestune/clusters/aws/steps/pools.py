"""Steps for pools: launch templates and node groups.

A node group that failed while being created never recovers: `find` treats it as absent, and the wait of its launch
template deletes it before the group's own step creates a new one. Groups of all pools start as one batch: each takes
minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import ResourceIds, Step
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.requests import pools
from orchestune.clusters.aws.steps.control import is_role_unknown, issues
from orchestune.clusters.aws.steps.network import find_by_tags
from orchestune.domain.clusters.cluster import Planned, Pool
from orchestune.domain.words import plural
from orchestune.errors import NotFound, OrchestuneError

GROUP_SECONDS = 2400.0
FAILED = "CREATE_FAILED"
"""state of a node group that never recovers: it is recreated"""
_HINTS = {
    "InsufficientInstanceCapacity": "add zones or instance types to the pool, or set min_nodes: 0 so that the"
    " autoscaler retries",
    "VcpuLimitExceeded": "request a larger quota in the console under Service Quotas, or use smaller instances",
    "MaxSpotInstanceCountExceeded": "request a larger quota of spot instances under Service Quotas",
    "failed to join": "check that nodes in these subnets can reach the cluster and the internet (or the endpoints of"
    " EC2, ECR, S3 and STS)",
}
"""part of EKS's reason → hint"""


def steps(site: ClusterSite) -> list[Step]:
    """Return the steps of all pools: templates first, so that node groups are created in parallel."""
    return [*(template(site, pool) for pool in site.spec.pools), *(group(site, pool) for pool in site.spec.pools)]


def template(site: ClusterSite, pool: Pool) -> Step:
    """Return the step for a pool's launch template."""
    name = site.names.launch_template(pool.name)
    detail = f"{pool.disk // 2**30} GiB encrypted, metadata by token only"
    planned = Planned("launch template", name, detail)

    def create(ids: ResourceIds) -> str:
        response = site.aws.call("ec2", "CreateLaunchTemplate", pools.template(site.names, pool), about=planned.title)
        return str(response["LaunchTemplate"]["LaunchTemplateId"])

    def wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
        site.aws.wait(lambda: _delete_old_group(site, pool), GROUP_SECONDS, f"pool {pool.name}", heartbeat)

    find = find_by_tags(site, "DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId", pool.name)
    return Step(f"template-{pool.name}", planned, find, create, wait)


def _delete_old_group(site: ClusterSite, pool: Pool) -> str | None:
    """Return the pending state while an old pool of that name is deleted; start deleting a failed one."""
    group_description = describe_group(site.aws, site.names.cluster, pool.name)
    if group_description is None or group_description["status"] not in (FAILED, "DELETING"):
        return None
    if group_description["status"] == FAILED:
        request = {"clusterName": site.names.cluster, "nodegroupName": pool.name}
        with suppress(NotFound):
            site.aws.call("eks", "DeleteNodegroup", request, about=f"pool {pool.name}")
    return "being removed"


def group(site: ClusterSite, pool: Pool) -> Step:
    """Return the step for a pool's node group."""
    machine = site.machine(pool)
    gpus = f", {plural(machine.gpus, 'GPU')} each" if machine.gpus else ""
    spot = "spot, " if pool.spot else ""
    planned = Planned(
        "pool", pool.name, f"{spot}{pool.min_nodes} to {pool.max_nodes} x {', '.join(pool.instance_types)}{gpus}"
    )

    def find(ids: ResourceIds) -> str | None:
        group_description = describe_group(site.aws, site.names.cluster, pool.name)
        return pool.name if group_description and group_description["status"] not in (FAILED, "DELETING") else None

    def create(ids: ResourceIds) -> str:
        subnets = site.node_subnets(ids, pool)
        request = pools.group(site.names, pool, site.node_kind(pool), subnets, ids[f"template-{pool.name}"])
        site.aws.call_eventually(
            "eks", "CreateNodegroup", request, about=planned.title, is_transient=_is_dependency_unknown
        )
        return pool.name

    def wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
        site.aws.wait(lambda: state(site.aws, site.names.cluster, pool.name), GROUP_SECONDS, planned.title, heartbeat)

    return Step(f"pool-{pool.name}", planned, find, create, wait, "pools")


def describe_group(aws: Aws, cluster: str, name: str) -> dict[str, Any] | None:
    """Return the node group; None if absent."""
    request = {"clusterName": cluster, "nodegroupName": name}
    response = aws.find("eks", "DescribeNodegroup", request, about=f"pool {name}")
    return response and dict(response["nodegroup"])


def state(aws: Aws, cluster: str, name: str) -> str | None:
    """Return the state while it is not ACTIVE, else None. Raises OrchestuneError with a hint if the pool failed."""
    group_description = describe_group(aws, cluster, name)
    status = str(group_description["status"]) if group_description else "missing"
    if group_description and status in (FAILED, "DEGRADED") and issues(group_description):
        reason = issues(group_description)
        hint = next((text for part, text in _HINTS.items() if part in reason), "")
        remedy = "the same command recreates it"
        if status == "DEGRADED":
            remedy = "resolve that; or give the pool another name, and replace it with `orchestune cluster update`"
        raise OrchestuneError(f"pool {name}: {reason}", f"{hint}; {remedy}" if hint else remedy)
    return None if status == "ACTIVE" else status


def _is_dependency_unknown(code: str, message: str) -> bool:
    text = message.lower()
    is_rejected = code in ("InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException")
    is_missing = ("launch template" in text or "subnet" in text) and "does not exist" in text
    return (is_rejected and is_missing) or is_role_unknown(code, message)
