"""`Provisioner` for AWS: plan, apply, update, status, destroy, prove.

A cluster is an ordered list of steps (`creation_steps`), one per resource; `plan` inspects them and `apply` runs them.
Removal does not reverse the steps: it lists what exists by tag (`removing`), and so also finds what Kubernetes created.
Commands that change a cluster hold its lock (`cluster_lock`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from orchestune.clusters.aws import immutable, offerings, pool_updates, preflight, removing
from orchestune.clusters.aws.applying import apply, inspect_steps
from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.cluster_lock import ClusterLock
from orchestune.clusters.aws.creation_steps import Repair, Step, repaired
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.inventory.clusters import refuse_foreign
from orchestune.clusters.aws.manifests import components
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.control import ADDONS_AFTER_NODES, ADDONS_BEFORE_NODES
from orchestune.clusters.aws.status import cluster_addresses, cluster_status, list_clusters
from orchestune.clusters.aws.steps import access, control, network, pools, roles, storage, teardown
from orchestune.clusters.aws.steps.network import existing_zones
from orchestune.domain.clusters.cluster import (  # fmt: skip
    CloudStatus,
    ClusterAddresses,
    ClusterSpec,
    CostCenter,
    Planned,
    PlanProblem,
    RemovalCheck,
)
from orchestune.errors import Conflict, TemporaryError
from orchestune.ports.provisioner import Drain, Say


class AwsProvisioner:
    """Implements `Provisioner` for one identity in one region."""

    def __init__(self, aws: Aws, profile: str = "") -> None:
        self._aws, self._profile = aws, profile
        self._last_site: tuple[ClusterSpec, ClusterSite] | None = None

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return self._aws.call("sts", "GetCallerIdentity")

    def payer(self) -> CostCenter:
        return CostCenter("aws", str(self._identity["Account"]), self._aws.region, str(self._identity["Arn"]))

    def check(self, spec: ClusterSpec) -> tuple[list[PlanProblem], list[str]]:
        if region_problem := preflight.check_region(self._aws, lambda: self._identity):
            return [region_problem], []
        site = self._site(spec)
        zones = tuple(dict.fromkeys(site.subnets.values())) or site.zones
        _, subnet_problems = preflight.check_subnets(self._aws, spec)
        archive_problems, archive_notes = preflight.check_archive(self._aws, site.names, spec)
        node_counts = {pool.name: pool.now for pool in (self.status(spec.name) or CloudStatus("", "", "")).pools}
        versions, cluster = offerings.versions(self._aws)[1], control.describe_cluster(self._aws, spec.name)
        cluster = cluster if cluster and control.is_ours(cluster) else {}
        problems, notes = preflight.check(self._aws, site.spec, site.offer, zones, versions, node_counts)
        update_problems = [
            *immutable.problems(site, cluster),
            *(pool_updates.problems(site) if node_counts else []),
        ]
        return (
            [*subnet_problems, *archive_problems, *problems, *update_problems],
            [*archive_notes, *notes, *immutable.notes(site, cluster)],
        )

    def plan(self, spec: ClusterSpec) -> list[Planned]:
        site = self._site(spec)
        return [_planned(step, repairs) for step, repairs in inspect_steps(self._steps(site))]

    def apply(self, spec: ClusterSpec, say: Say) -> ClusterAddresses:
        site = self._site(spec)
        self._refuse_name(site.names)
        with ClusterLock(self._aws, site.names) as lock:  # acquired by the first step, which may create the role
            ids = apply(self._aws, self._steps(site, lock), say, lock.heartbeat)
        return cluster_addresses(self._aws, site.names, ids)

    def reach(self, name: str) -> ClusterAddresses | None:
        status = self.status(name)
        if status is not None and not status.up:
            raise TemporaryError(f"the cluster '{name}' is not up: {status.state}", "repeat the command when it is")
        return cluster_addresses(self._aws, self._names(name), {}) if status is not None else None

    def login(self, name: str) -> dict[str, Any]:
        user = {"cluster": name, "region": self._aws.region}
        return {"eks": user | ({"profile": self._profile} if self._profile else {})}

    def manifests(self, spec: ClusterSpec) -> list[dict[str, Any]]:
        return components.manifests(self._site(spec))

    def retirement(self, spec: ClusterSpec) -> dict[str, Any]:
        if spec.retirement is None:
            return {}
        target = {"provider": "aws", "cluster": spec.name, "region": self._aws.region}
        return {"after": spec.retirement.after, "archive": spec.retirement.archive, **target}

    def changes(self, spec: ClusterSpec) -> list[Planned]:
        site = self._site(spec)
        return pool_updates.planned(site)

    def update(self, spec: ClusterSpec, say: Say, drain: Drain) -> None:
        site = self._site(spec)
        refuse_foreign(self._aws, site.names)
        with ClusterLock(self._aws, site.names) as lock:
            lock.acquire()
            pool_updates.update(site, lock, say, drain)

    def status(self, name: str) -> CloudStatus | None:
        return cluster_status(self._aws, self._names(name))

    def clusters(self) -> Sequence[CloudStatus]:
        return list_clusters(self._aws, self._names)

    def destroy(self, name: str, say: Say, *, keep_registry: bool = False) -> None:
        names = self._names(name)
        refuse_foreign(self._aws, names)
        with ClusterLock(self._aws, names) as lock:
            lock.acquire()
            remaining = removing.remove(self._aws, names, say, lock.heartbeat, keep_registry=keep_registry)
        if remaining:
            reasons = "\n".join(f"  {resource.kind} {resource.name}: {resource.why}" for resource in remaining)
            raise Conflict(f"cannot remove all of '{name}':\n{reasons}", "resolve that, then repeat the command")

    def prove(self, name: str, *, keep_registry: bool = False) -> RemovalCheck:
        return removing.prove(self._aws, self._names(name), keep_registry=keep_registry)

    def _names(self, name: str, extra_tags: dict[str, str] | None = None) -> Names:
        partition = str(self._identity["Arn"]).split(":")[1]
        return Names(name, self._aws.region, str(self._identity["Account"]), partition, extra_tags or {})

    def _refuse_name(self, names: Names) -> None:
        """Raise Conflict if a foreign cluster has the name, before the first role is created for it."""
        cluster = control.describe_cluster(self._aws, names.cluster)
        if cluster is not None and not control.is_ours(cluster):
            raise Conflict(
                f"the cluster '{names.cluster}' exists already in {names.region} and is not ours",
                "choose another cluster_name",
            )

    def _site(self, spec: ClusterSpec) -> ClusterSite:
        """Return the inputs for all steps of a spec; cached for the last spec."""
        if self._last_site is None or self._last_site[0] != spec:
            names = self._names(spec.name, dict(spec.tags))
            offer = offerings.offer(self._aws, spec)
            subnets, _ = preflight.check_subnets(self._aws, spec)
            zones, used_zones = offerings.choose_zones(spec, offer), existing_zones(self._aws, names)
            zones = zones if set(used_zones) <= set(zones) else used_zones
            preflight.require_two_zones(self._aws, zones)
            cluster = control.describe_cluster(self._aws, spec.name)
            version = str(cluster["version"]) if cluster else spec.version or offerings.versions(self._aws)[0]
            reduced = offerings.with_offered_types(spec, offer)
            self._last_site = spec, ClusterSite(self._aws, reduced, names, offer, zones, version, subnets)
        return self._last_site[1]

    def _steps(self, site: ClusterSite, lock: ClusterLock | None = None) -> Sequence[Step]:
        """Return all steps in the order of creation; without `lock` for inspection only."""
        return [
            *roles.steps(site, lock),
            *network.steps(site),
            *storage.steps(site),
            control.cluster(site),
            *access.steps(site),
            *control.identities(site),
            *control.addons(site, ADDONS_BEFORE_NODES),
            *pools.steps(site),
            *control.addons(site, ADDONS_AFTER_NODES),
            *teardown.steps(site),
        ]


def _planned(step: Step, repairs: Sequence[Repair] | None) -> Planned:
    if repairs is None:
        return step.planned
    return repaired(step, repairs) if repairs else replace(step.planned, detail="exists")
