"""`update`: creates what is missing, as `create` does, and changes existing pools to match the file.

The order keeps work running: new pools first, so that the pods of drained ones can be rescheduled; then sizes, labels
and taints; then pools that the file no longer names are drained and deleted. Every phase compares the file with AWS
again, so an interrupted update is repeated by the same command. `planned` lists the phases in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from orchestune.clusters.aws import endpoint_updates, teardown_updates, updating
from orchestune.clusters.aws.applying import apply, inspect_steps
from orchestune.clusters.aws.cluster_lock import ClusterLock
from orchestune.clusters.aws.creation_steps import Step, repaired
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.inventory import clusters, network
from orchestune.clusters.aws.inventory.resources import delete
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests.control import ADDONS_AFTER_NODES, ADDONS_BEFORE_NODES
from orchestune.clusters.aws.requests.roles import NODE
from orchestune.clusters.aws.steps import access, control, pools, roles, storage, teardown
from orchestune.clusters.aws.steps.network import steps as network_steps
from orchestune.domain.clusters.cluster import CompletedStep, Planned, PlanProblem, Pool, ProvisioningEvent
from orchestune.errors import NotFound
from orchestune.ports.provisioner import Drain, Say

Document = dict[str, Any]


def planned(site: ClusterSite) -> list[Planned]:
    """Return the changes that `update` makes, in order."""
    groups = _node_groups(site)
    changes = endpoint_updates.planned(site)
    for step, repairs in inspect_steps(_creation_steps(site, groups)):
        if repairs is None:
            changes.append(replace(step.planned, detail=f"new: {step.planned.detail}".removesuffix(": ")))
        elif repairs:
            changes.append(repaired(step, repairs))
    changes += [change.planned for change in _changes(site, groups)]
    changes += [Planned("pool", name, "drained and removed") for name in _removed_pools(site, groups)]
    changes += [Planned("pool", name, "removal completed") for name in _half_removed_pools(site, groups)]
    changes += [_without_policy(site, policy) for policy in roles.extra_policies(site)]
    return [*changes, *access.planned(site), *teardown_updates.planned(site)]


def _without_policy(site: ClusterSite, policy: str) -> Planned:
    return Planned("role", site.names.role(NODE), f"without {policy.rpartition('/')[2]}")


def problems(site: ClusterSite) -> list[PlanProblem]:
    """Return the problems of pool changes that cannot be made in place.

    A failed pool is recreated, so its instance types may change too, but it keeps its launch template.
    """
    groups = _node_groups(site)
    existing = [(pool, groups[pool.name]) for pool in site.spec.pools if pool.name in groups]
    immutable = [problem for pool, group in existing for problem in updating.immutable_problems(pool, group)
                 if group["status"] != pools.FAILED or problem.key.endswith(".disk")]  # fmt: skip
    return [*immutable, *_missing_parts(site, existing)]


def _missing_parts(site: ClusterSite, existing: list[tuple[Pool, Document]]) -> Iterator[PlanProblem]:
    """Yield pools whose subnet or launch template was deleted: EKS cannot replace either in a node group."""
    subnet_ids = sorted({str(subnet) for _, group in existing for subnet in group.get("subnets") or ()})
    request = {"Filters": [{"Name": "subnet-id", "Values": subnet_ids}]}
    subnets = {str(item["SubnetId"]) for item in site.aws.pages("ec2", "DescribeSubnets", "Subnets", request)}
    templates = {template.id for template in network.resource_kinds(site.aws, site.names)[0].find()}
    hint = "give the pool another name, and run `orchestune cluster update`: the old one is then drained and removed"
    for pool, group in existing:
        if group["status"] == pools.FAILED:
            continue
        template = str((group.get("launchTemplate") or {}).get("id", ""))
        deleted_subnets = [subnet for subnet in group.get("subnets") or () if subnet not in subnets]
        if template and template not in templates:
            text = f"the pool '{pool.name}' cannot start nodes: its launch template {template} was deleted"
            yield PlanProblem(pool.key, text, hint)
        elif deleted_subnets:
            text = f"the pool '{pool.name}' cannot start nodes: deleted subnets {', '.join(deleted_subnets)}"
            yield PlanProblem(pool.key, text, hint)


def update(site: ClusterSite, lock: ClusterLock, say: Say, drain: Drain) -> None:
    """Create what is missing first, so that drained pods can be rescheduled; then resize pools, then remove pools."""
    heartbeat, groups = lock.heartbeat, _node_groups(site)
    endpoint_updates.change(site, say, heartbeat)

    def report_change(event: ProvisioningEvent) -> None:
        if event.what is not CompletedStep.FOUND:
            say(event)

    steps = [*_creation_steps(site, groups, lock), *access.steps(site), *teardown.steps(site)]
    apply(site.aws, steps, report_change, heartbeat)
    teardown_updates.disable(site, say)
    for change in _changes(site, groups):
        _change(site, change, say, heartbeat)
    for policy in roles.extra_policies(site):
        roles.detach_policy(site, policy)
        say(ProvisioningEvent(CompletedStep.CHANGED, _without_policy(site, policy)))
    access.revoke(site, say)
    for name in _removed_pools(site, groups):
        say(ProvisioningEvent(CompletedStep.WAITING, Planned("pool", name, "draining")))
        drain(name, heartbeat)
        _remove(site, name, say, heartbeat)
    for name in _half_removed_pools(site, groups):
        _remove(site, name, say, heartbeat)


def _half_removed_pools(site: ClusterSite, groups: dict[str, Document]) -> list[str]:
    """Return removed pools with an interrupted removal, recognized by their leftover launch template."""
    spec_names = {pool.name for pool in site.spec.pools}
    templates = network.resource_kinds(site.aws, site.names)[0].find()
    return sorted({template.name for template in templates} - spec_names - set(groups))


def _node_groups(site: ClusterSite) -> dict[str, Document]:
    """Return the node groups by name, except those being deleted. Raises NotFound if the cluster does not exist."""
    if control.describe_cluster(site.aws, site.spec.name) is None:
        raise NotFound(f"no such cluster in {site.names.region}: '{site.spec.name}'",
                       "create it with `orchestune cluster create -f FILE`")  # fmt: skip
    request = {"clusterName": site.spec.name}
    groups = [pools.describe_group(site.aws, site.spec.name, str(name))
              for name in site.aws.pages("eks", "ListNodegroups", "nodegroups", request)]  # fmt: skip
    return {str(group["nodegroupName"]): group for group in groups if group and group["status"] != "DELETING"}


def _creation_steps(site: ClusterSite, groups: dict[str, Document], lock: ClusterLock | None = None) -> list[Step]:
    """Return the steps of `create`, except for existing pools, which are changed in any state.

    Existing add-ons are left out too: they may be unhealthy just because of such a pool; failed ones are included.
    """
    addons = control.addons(site, (*ADDONS_BEFORE_NODES, *ADDONS_AFTER_NODES))
    missing = [step for step in addons if step.find({}) is None or step.find_repairs({})]
    before_nodes = [step for step in missing if step.planned.name in ADDONS_BEFORE_NODES]
    return [
        *roles.steps(site, lock),
        *network_steps(site),
        *storage.steps(site),
        control.cluster(site),
        *control.identities(site),
        *before_nodes,
        *_new_pool_steps(site, groups),
        *(step for step in missing if step not in before_nodes),
    ]


def _new_pool_steps(site: ClusterSite, groups: dict[str, Document]) -> list[Step]:
    new = [pool for pool in site.spec.pools if pool.name not in groups or groups[pool.name]["status"] == pools.FAILED]
    return [*(pools.template(site, pool) for pool in new), *(pools.group(site, pool) for pool in new)]


def _changes(site: ClusterSite, groups: dict[str, Document]) -> list[updating.PoolChange]:
    changes = []
    for pool in site.spec.pools:
        group = groups.get(pool.name)
        if group is not None and group["status"] != pools.FAILED:
            change = updating.change(site.spec.name, pool, site.node_kind(pool), group)
            changes += [change] if change else []
    return changes


def _removed_pools(site: ClusterSite, groups: dict[str, Document]) -> list[str]:
    """Return existing pools of Orchestune that the file no longer names."""
    spec_names = {pool.name for pool in site.spec.pools}
    return [name for name, group in groups.items()
            if name not in spec_names and (group.get("tags") or {}).get(TAG) == site.spec.name]  # fmt: skip


def _change(site: ClusterSite, planned: updating.PoolChange, say: Say, heartbeat: Callable[[], None]) -> None:
    """Change a pool based on its current state: the autoscaler may have added nodes since `planned`, which must stay.

    Waits for an update begun by an earlier run first: EKS rejects a second one.
    """
    aws, pool, name, start = site.aws, planned.pool, planned.pool.name, site.aws.clock()
    say(ProvisioningEvent(CompletedStep.WAITING, planned.planned))
    aws.wait(lambda: _update_in_progress(site, name), pools.GROUP_SECONDS, f"pool {name}", heartbeat)
    group = pools.describe_group(aws, site.spec.name, name)
    change = updating.change(site.spec.name, pool, site.node_kind(pool), group) if group else None
    if change is None:
        return
    response = aws.call("eks", "UpdateNodegroupConfig", change.request, about=f"pool {name}")
    request = {"name": site.spec.name, "nodegroupName": name, "updateId": response["update"]["id"]}

    def report_waiting() -> None:
        heartbeat()
        say(ProvisioningEvent(CompletedStep.WAITING, change.planned, aws.clock() - start))

    find_state = lambda: control.update_state(aws, request, f"pool {name}")
    aws.wait(find_state, pools.GROUP_SECONDS, f"pool {name}", report_waiting)
    say(ProvisioningEvent(CompletedStep.CHANGED, change.planned, aws.clock() - start))


def _update_in_progress(site: ClusterSite, name: str) -> str | None:
    """Return the state of a node group while it is being created or updated, else None."""
    group = pools.describe_group(site.aws, site.spec.name, name)
    return str(group["status"]) if group and group["status"] in ("CREATING", "UPDATING") else None


def _remove(site: ClusterSite, name: str, say: Say, heartbeat: Callable[[], None]) -> None:
    """Delete the node group, then its launch template, whose existence marks an unfinished removal."""
    aws, pool, start = site.aws, Planned("pool", name), site.aws.clock()
    say(ProvisioningEvent(CompletedStep.WAITING, pool))
    groups = clusters.resource_kinds(aws, site.names)[0]

    def delete_group() -> str | None:
        group = next((resource for resource in groups.find() if resource.id == name), None)
        if group is None:
            return None
        delete(group)
        say(ProvisioningEvent(CompletedStep.WAITING, pool, aws.clock() - start))
        return "being removed"

    aws.wait(delete_group, pools.GROUP_SECONDS, f"pool {name}", heartbeat)
    for template in network.resource_kinds(aws, site.names)[0].find():
        if template.name == name:
            delete(template)
    say(ProvisioningEvent(CompletedStep.REMOVED, pool, aws.clock() - start))
