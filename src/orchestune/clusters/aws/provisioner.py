"""`Provisioner` for AWS: plan, apply, update, status, destroy, prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from orchestune.clusters.aws import immutable, manifest_selection, offerings, pool_updates, preflight, removing
from orchestune.clusters.aws.applying import apply, looked
from orchestune.clusters.aws.claim import Claim
from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Repair, Step, mended
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.inventory.clusters import refuse_others
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.control import AFTER, BEFORE
from orchestune.clusters.aws.status import listed, reached, standing
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
        self._seen: tuple[ClusterSpec, ClusterSite] | None = None

    @cached_property
    def _who(self) -> dict[str, Any]:
        return self._aws.call("sts", "GetCallerIdentity")

    def payer(self) -> CostCenter:
        return CostCenter("aws", str(self._who["Account"]), self._aws.region, str(self._who["Arn"]))

    def check(self, spec: ClusterSpec) -> tuple[list[PlanProblem], list[str]]:
        if strange := preflight.region(self._aws, lambda: self._who):
            return [strange], []
        site = self._site(spec)
        zones = tuple(dict.fromkeys(site.subnets.values())) or site.zones
        _, wrong = preflight.subnets(self._aws, spec)
        lost, remarks = preflight.archive(self._aws, site.names, spec)
        have = {pool.name: pool.now for pool in (self.status(spec.name) or CloudStatus("", "", "")).pools}
        known, there = offerings.versions(self._aws)[1], control.described(self._aws, spec.name)
        shown = there if there and control.ours(there) else {}
        said, notes = preflight.check(self._aws, site.spec, site.offer, zones, known, have)
        fixed = [*immutable.refused(site, shown), *(pool_updates.refused(site) if have else [])]
        return [*wrong, *lost, *said, *fixed], [*remarks, *notes, *immutable.notes(site, shown)]

    def plan(self, spec: ClusterSpec) -> list[Planned]:
        site = self._site(spec)
        return [_planned(step, lacks) for step, lacks in looked(self._steps(site))]

    def apply(self, spec: ClusterSpec, say: Say) -> ClusterAddresses:
        site = self._site(spec)
        self._refuse_name(site.names)
        with Claim(self._aws, site.names) as claim:
            made = apply(self._aws, self._steps(site, claim), say, claim.beat)
        return reached(self._aws, site.names, made)

    def reach(self, name: str) -> ClusterAddresses | None:
        found = self.status(name)
        if found is not None and not found.up:
            raise TemporaryError(f"the cluster '{name}' is not up: {found.state}", "repeat the command when it is")
        return reached(self._aws, self._names(name), {}) if found is not None else None

    def login(self, name: str) -> dict[str, Any]:
        wanted = {"cluster": name, "region": self._aws.region}
        return {"eks": wanted | ({"profile": self._profile} if self._profile else {})}

    def manifests(self, spec: ClusterSpec) -> list[dict[str, Any]]:
        return manifest_selection.manifests(self._site(spec))

    def retirement(self, spec: ClusterSpec) -> dict[str, Any]:
        if spec.retirement is None:
            return {}
        place = {"provider": "aws", "cluster": spec.name, "region": self._aws.region}
        return {"after": spec.retirement.after, "archive": spec.retirement.archive, **place}

    def changes(self, spec: ClusterSpec) -> list[Planned]:
        site = self._site(spec)
        return pool_updates.planned(site)

    def update(self, spec: ClusterSpec, say: Say, drain: Drain) -> None:
        site = self._site(spec)
        refuse_others(self._aws, site.names)
        with Claim(self._aws, site.names) as claim:
            claim.take()
            pool_updates.update(site, claim, say, drain)

    def status(self, name: str) -> CloudStatus | None:
        return standing(self._aws, self._names(name))

    def clusters(self) -> Sequence[CloudStatus]:
        return listed(self._aws, self._names)

    def destroy(self, name: str, say: Say, *, keep_registry: bool = False) -> None:
        names = self._names(name)
        refuse_others(self._aws, names)
        with Claim(self._aws, names) as claim:
            claim.take()
            left = removing.remove(self._aws, names, say, claim.beat, keep_registry=keep_registry)
        if left:
            said = "\n".join(f"  {item.kind} {item.name}: {item.why}" for item in left)
            raise Conflict(f"not all of '{name}' could be removed:\n{said}", "mend that, then repeat the command")

    def prove(self, name: str, *, keep_registry: bool = False) -> RemovalCheck:
        return removing.prove(self._aws, self._names(name), keep_registry=keep_registry)

    def _names(self, name: str, more: dict[str, str] | None = None) -> Names:
        partition = str(self._who["Arn"]).split(":")[1]
        return Names(name, self._aws.region, str(self._who["Account"]), partition, more or {})

    def _refuse_name(self, names: Names) -> None:
        found = control.described(self._aws, names.cluster)
        if found is not None and not control.ours(found):
            raise Conflict(
                f"there is a cluster '{names.cluster}' in {names.region} already, which is not ours",
                "choose another cluster_name",
            )

    def _site(self, spec: ClusterSpec) -> ClusterSite:
        """Return the inputs for all steps of a spec; cached for the last spec."""
        if self._seen is None or self._seen[0] != spec:
            names = self._names(spec.name, dict(spec.tags))
            offer = offerings.offer(self._aws, spec)
            subnets, _ = preflight.subnets(self._aws, spec)
            zones, there = offerings.chosen_zones(spec, offer), existing_zones(self._aws, names)
            zones = zones if set(there) <= set(zones) else there
            preflight.need_two(self._aws, zones)
            cluster = control.described(self._aws, spec.name)
            version = str(cluster["version"]) if cluster else spec.version or offerings.versions(self._aws)[0]
            self._seen = (
                spec,
                ClusterSite(self._aws, offerings.settled(spec, offer), names, offer, zones, version, subnets),
            )
        return self._seen[1]

    def _steps(self, site: ClusterSite, claim: Claim | None = None) -> Sequence[Step]:
        return [
            *roles.steps(site, claim),
            *network.steps(site),
            *storage.steps(site),
            control.cluster(site),
            *access.steps(site),
            *control.identities(site),
            *control.addons(site, BEFORE),
            *pools.steps(site),
            *control.addons(site, AFTER),
            *teardown.steps(site),
        ]


def _planned(step: Step, lacks: Sequence[Repair] | None) -> Planned:
    if lacks is None:
        return step.planned
    return mended(step, lacks) if lacks else replace(step.planned, detail="there")
