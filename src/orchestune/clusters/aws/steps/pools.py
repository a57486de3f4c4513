"""Steps for pools: launch templates and node groups."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Made, Step
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.requests import pools
from orchestune.clusters.aws.steps.control import issues, role_unknown
from orchestune.clusters.aws.steps.network import found
from orchestune.domain.clusters.cluster import Planned, Pool
from orchestune.domain.words import plural
from orchestune.errors import NotFound, OrchestuneError

GROUP_SECONDS = 2400.0
FAILED = "CREATE_FAILED"
"""state of a node group that never recovers: it is recreated"""
_HINTS = {
    "InsufficientInstanceCapacity": "other zones or more instance types in the pool may have room; min_nodes: 0 lets"
    " the autoscaler try again and again",
    "VcpuLimitExceeded": "ask for a larger quota in the console under Service Quotas, or take smaller machines",
    "MaxSpotInstanceCountExceeded": "ask for a larger quota of spot machines under Service Quotas",
    "failed to join": "can machines of these subnets reach the cluster and the internet (or the endpoints of EC2, ECR,"
    " S3 and STS)?",
}


def steps(site: ClusterSite) -> list[Step]:
    """Return the steps of all pools: templates first, so that node groups are created in parallel."""
    return [*(template(site, pool) for pool in site.spec.pools), *(group(site, pool) for pool in site.spec.pools)]


def template(site: ClusterSite, pool: Pool) -> Step:
    """Return the step for a pool's launch template."""
    name = site.names.template(pool.name)
    detail = f"{pool.disk // 2**30} GiB encrypted, metadata by token alone"
    planned = Planned("launch template", name, detail)

    def make(made: Made) -> str:
        answer = site.aws.call("ec2", "CreateLaunchTemplate", pools.template(site.names, pool), about=planned.called)
        return str(answer["LaunchTemplate"]["LaunchTemplateId"])

    def settle(made: Made, beat: Callable[[], None]) -> None:
        site.aws.wait(lambda: _going(site, pool), GROUP_SECONDS, f"pool {pool.name}", beat)

    find = found(site, "DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId", pool.name)
    return Step(f"template-{pool.name}", planned, find, make, settle)


def _going(site: ClusterSite, pool: Pool) -> str | None:
    """Return the pending state while an old pool of that name is deleted; start deleting a failed one."""
    shown = described(site.aws, site.names.cluster, pool.name)
    if shown is None or shown["status"] not in (FAILED, "DELETING"):
        return None
    if shown["status"] == FAILED:
        request = {"clusterName": site.names.cluster, "nodegroupName": pool.name}
        with suppress(NotFound):
            site.aws.call("eks", "DeleteNodegroup", request, about=f"pool {pool.name}")
    return "being removed"


def group(site: ClusterSite, pool: Pool) -> Step:
    """Return the step for a pool's node group."""
    machine = site.machine(pool)
    gpus = f", {plural(machine.gpus, 'GPU')} each" if machine.gpus else ""
    spot = "spot, " if pool.spot else ""
    planned = Planned("pool", pool.name, f"{spot}{pool.least} to {pool.most} x {', '.join(pool.instance_types)}{gpus}")

    def find(made: Made) -> str | None:
        shown = described(site.aws, site.names.cluster, pool.name)
        return pool.name if shown and shown["status"] not in (FAILED, "DELETING") else None

    def make(made: Made) -> str:
        subnets = site.for_machines(made, pool)
        request = pools.group(site.names, pool, site.kind(pool), subnets, made[f"template-{pool.name}"])
        site.aws.settled("eks", "CreateNodegroup", request, about=planned.called, unknown=_not_known_yet)
        return pool.name

    def settle(made: Made, beat: Callable[[], None]) -> None:
        site.aws.wait(lambda: state(site.aws, site.names.cluster, pool.name), GROUP_SECONDS, planned.called, beat)

    return Step(f"pool-{pool.name}", planned, find, make, settle, "pools")


def described(aws: Aws, cluster: str, name: str) -> dict[str, Any] | None:
    """Return the node group; None if absent."""
    request = {"clusterName": cluster, "nodegroupName": name}
    shown = aws.find("eks", "DescribeNodegroup", request, about=f"pool {name}")
    return shown and dict(shown["nodegroup"])


def state(aws: Aws, cluster: str, name: str) -> str | None:
    """Return the state while it is not ACTIVE, else None. Raises OrchestuneError with a hint if the pool failed."""
    shown = described(aws, cluster, name)
    now = str(shown["status"]) if shown else "not there"
    if shown and now in (FAILED, "DEGRADED") and issues(shown):
        why = issues(shown)
        hint = next((text for mark, text in _HINTS.items() if mark in why), "")
        more = "the same command makes it anew"
        if now == "DEGRADED":
            more = "mend that; or give the pool another name, and `orchestune cluster update` puts the new in its place"
        raise OrchestuneError(f"pool {name}: {why}", f"{hint}; {more}" if hint else more)
    return None if now == "ACTIVE" else now


def _not_known_yet(code: str, message: str) -> bool:
    said = message.lower()
    missing = code in ("InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException")
    return (missing and ("launch template" in said or "subnet" in said) and "does not exist" in said) or role_unknown(
        code, message
    )
