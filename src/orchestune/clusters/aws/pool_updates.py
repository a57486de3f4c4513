"""`update`: creates what is missing, as `create` does, and changes existing pools to match the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from orchestune.clusters.aws import endpoint_updates, teardown_updates, updating
from orchestune.clusters.aws.applying import apply, looked
from orchestune.clusters.aws.claim import Claim
from orchestune.clusters.aws.creation_steps import Step, mended
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.inventory import clusters, network
from orchestune.clusters.aws.inventory.resources import take_away
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests.control import AFTER, BEFORE
from orchestune.clusters.aws.requests.roles import NODE
from orchestune.clusters.aws.steps import access, control, pools, roles, storage, teardown
from orchestune.clusters.aws.steps.network import steps as network_steps
from orchestune.domain.clusters.cluster import CompletedStep, Planned, PlanProblem, Pool, ProvisioningEvent
from orchestune.errors import NotFound
from orchestune.ports.provisioner import Drain, Say

Document = dict[str, Any]


def planned(site: ClusterSite) -> list[Planned]:
    """Return the changes that `update` makes, in order."""
    there = _there(site)
    made = endpoint_updates.planned(site)
    for step, lacks in looked(_whole(site, there)):
        if lacks is None:
            made.append(replace(step.planned, detail=f"new: {step.planned.detail}".removesuffix(": ")))
        elif lacks:
            made.append(mended(step, lacks))
    made += [change.planned for change in _changes(site, there)]
    made += [Planned("pool", name, "drained and removed") for name in _gone(site, there)]
    made += [Planned("pool", name, "the rest of it removed") for name in _rests(site, there)]
    made += [_without_policy(site, policy) for policy in roles.superfluous(site)]
    return [*made, *access.planned(site), *teardown_updates.planned(site)]


def _without_policy(site: ClusterSite, policy: str) -> Planned:
    return Planned("role", site.names.role(NODE), f"without {policy.rpartition('/')[2]}")


def refused(site: ClusterSite) -> list[PlanProblem]:
    """Return complaints about pool changes that cannot be made in place.

    A failed pool is recreated, so its instance types may change too, but it keeps its launch template.
    """
    there = _there(site)
    stay = [(pool, there[pool.name]) for pool in site.spec.pools if pool.name in there]
    said = [complaint for pool, shown in stay for complaint in updating.fixed(pool, shown)
            if shown["status"] != pools.FAILED or complaint.key.endswith(".disk")]  # fmt: skip
    return [*said, *_without(site, stay)]


def _without(site: ClusterSite, stay: list[tuple[Pool, Document]]) -> Iterator[PlanProblem]:
    """Yield pools whose subnet or launch template was deleted: EKS cannot replace either in a node group."""
    wanted = sorted({str(subnet) for _, shown in stay for subnet in shown.get("subnets") or ()})
    request = {"Filters": [{"Name": "subnet-id", "Values": wanted}]}
    subnets = {str(item["SubnetId"]) for item in site.aws.pages("ec2", "DescribeSubnets", "Subnets", request)}
    templates = {thing.id for thing in network.shelves(site.aws, site.names)[0].find()}
    hint = "give the pool another name, and run `orchestune cluster update`: this one is drained and removed"
    for pool, shown in stay:
        if shown["status"] == pools.FAILED:
            continue
        template = str((shown.get("launchTemplate") or {}).get("id", ""))
        lost = [subnet for subnet in shown.get("subnets") or () if subnet not in subnets]
        if template and template not in templates:
            yield PlanProblem(pool.key, f"the pool '{pool.name}' starts machines by {template}, which is gone", hint)
        elif lost:
            yield PlanProblem(pool.key, f"the pool '{pool.name}' starts machines in {', '.join(lost)}, gone", hint)


def update(site: ClusterSite, claim: Claim, say: Say, drain: Drain) -> None:
    """Create what is missing first, so that drained pods can be rescheduled; then resize pools, then remove pools."""
    beat, there = claim.beat, _there(site)
    endpoint_updates.change(site, say, beat)

    def tell(event: ProvisioningEvent) -> None:
        if event.what is not CompletedStep.FOUND:
            say(event)

    steps = [*_whole(site, there, claim), *access.steps(site), *teardown.steps(site)]
    apply(site.aws, steps, tell, beat)
    teardown_updates.call_off(site, say)
    for change in _changes(site, there):
        _change(site, change, say, beat)
    for policy in roles.superfluous(site):
        roles.take_away(site, policy)
        say(ProvisioningEvent(CompletedStep.CHANGED, _without_policy(site, policy)))
    access.revoke(site, say)
    for name in _gone(site, there):
        say(ProvisioningEvent(CompletedStep.WAITING, Planned("pool", name, "draining")))
        drain(name, beat)
        _remove(site, name, say, beat)
    for name in _rests(site, there):
        _remove(site, name, say, beat)


def _rests(site: ClusterSite, there: dict[str, Document]) -> list[str]:
    """Return removed pools with an interrupted removal, recognized by their leftover launch template."""
    kept = {pool.name for pool in site.spec.pools}
    things = network.shelves(site.aws, site.names)[0].find()
    return sorted({thing.name for thing in things} - kept - set(there))


def _there(site: ClusterSite) -> dict[str, Document]:
    """Return the node groups by name. Raises NotFound if the cluster does not exist."""
    found = control.described(site.aws, site.spec.name)
    if found is None:
        raise NotFound(f"there is no cluster '{site.spec.name}' in {site.names.region}",
                       "`orchestune cluster create -f FILE` makes one")  # fmt: skip
    request = {"clusterName": site.spec.name}
    shown = [pools.described(site.aws, site.spec.name, str(name))
             for name in site.aws.pages("eks", "ListNodegroups", "nodegroups", request)]  # fmt: skip
    return {str(item["nodegroupName"]): item for item in shown if item and item["status"] != "DELETING"}


def _whole(site: ClusterSite, there: dict[str, Document], claim: Claim | None = None) -> list[Step]:
    """Return the steps of `create`, except for existing pools, which are changed in any state.

    Existing add-ons are left out too: they may be unhealthy just because of such a pool; failed ones are included.
    """
    every = control.addons(site, (*BEFORE, *AFTER))
    lacking = [step for step in every if step.find({}) is None or step.lacks({})]
    before = [step for step in lacking if step.planned.name in BEFORE]
    return [
        *roles.steps(site, claim),
        *network_steps(site),
        *storage.steps(site),
        control.cluster(site),
        *control.identities(site),
        *before,
        *_new(site, there),
        *(step for step in lacking if step not in before),
    ]


def _new(site: ClusterSite, there: dict[str, Document]) -> list[Step]:
    new = [pool for pool in site.spec.pools if pool.name not in there or there[pool.name]["status"] == pools.FAILED]
    return [*(pools.template(site, pool) for pool in new), *(pools.group(site, pool) for pool in new)]


def _changes(site: ClusterSite, there: dict[str, Document]) -> list[updating.PoolChange]:
    found = []
    for pool in site.spec.pools:
        shown = there.get(pool.name)
        if shown is not None and shown["status"] != pools.FAILED:
            change = updating.change(site.spec.name, pool, site.kind(pool), shown)
            found += [change] if change else []
    return found


def _gone(site: ClusterSite, there: dict[str, Document]) -> list[str]:
    """Return existing pools of Orchestune that the file no longer names."""
    kept = {pool.name for pool in site.spec.pools}
    return [name for name, shown in there.items()
            if name not in kept and (shown.get("tags") or {}).get(TAG) == site.spec.name]  # fmt: skip


def _change(site: ClusterSite, seen: updating.PoolChange, say: Say, beat: Callable[[], None]) -> None:
    """Change a pool based on its current state: the autoscaler may have added nodes since `seen`, which must stay."""
    aws, pool, name, began = site.aws, seen.pool, seen.pool.name, site.aws.clock()
    say(ProvisioningEvent(CompletedStep.WAITING, seen.planned))
    aws.wait(lambda: _changing(site, name), pools.GROUP_SECONDS, f"pool {name}", beat)  # begun by an earlier run
    shown = pools.described(aws, site.spec.name, name)
    change = updating.change(site.spec.name, pool, site.kind(pool), shown) if shown else None
    if change is None:
        return
    answer = aws.call("eks", "UpdateNodegroupConfig", change.request, about=f"pool {name}")
    asked = {"name": site.spec.name, "nodegroupName": name, "updateId": answer["update"]["id"]}

    def alive() -> None:
        beat()
        say(ProvisioningEvent(CompletedStep.WAITING, change.planned, aws.clock() - began))

    look = lambda: control.update_state(aws, asked, f"pool {name}")
    aws.wait(look, pools.GROUP_SECONDS, f"pool {name}", alive)
    say(ProvisioningEvent(CompletedStep.CHANGED, change.planned, aws.clock() - began))


def _changing(site: ClusterSite, name: str) -> str | None:
    shown = pools.described(site.aws, site.spec.name, name)
    return str(shown["status"]) if shown and shown["status"] in ("CREATING", "UPDATING") else None


def _remove(site: ClusterSite, name: str, say: Say, beat: Callable[[], None]) -> None:
    """Delete the node group, then its launch template."""
    aws, what, began = site.aws, Planned("pool", name), site.aws.clock()
    say(ProvisioningEvent(CompletedStep.WAITING, what))
    shelf = clusters.shelves(aws, site.names)[0]

    def look() -> str | None:
        thing = next((item for item in shelf.find() if item.id == name), None)
        if thing is None:
            return None
        take_away(thing)
        say(ProvisioningEvent(CompletedStep.WAITING, what, aws.clock() - began))
        return "being removed"

    aws.wait(look, pools.GROUP_SECONDS, f"pool {name}", beat)
    for thing in network.shelves(aws, site.names)[0].find():
        if thing.name == name:
            take_away(thing)
    say(ProvisioningEvent(CompletedStep.REMOVED, what, aws.clock() - began))
