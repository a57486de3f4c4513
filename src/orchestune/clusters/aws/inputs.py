"""Inputs that are known before the first resource is created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Made
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.offerings import MachineType, RegionOffer
from orchestune.clusters.aws.requests.pools import NodeKind
from orchestune.domain.clusters.cluster import SYSTEM, ClusterSpec, Pool


@dataclass(frozen=True)
class ClusterSite:
    """One cluster to create: account and region, spec, names, and the region's offerings."""

    aws: Aws
    spec: ClusterSpec
    names: Names
    offer: RegionOffer
    zones: tuple[str, ...]
    version: str
    subnets: Mapping[str, str] = field(default_factory=dict)
    """zone of each subnet of an existing VPC, by subnet ID"""

    def machine(self, pool: Pool) -> MachineType:
        """Return a representative instance type; all types of a pool share architecture and kind."""
        return self.offer.machines(pool)[0]

    def kind(self, pool: Pool) -> NodeKind:
        """Return the pool's properties for requests; the GPU model only if all types have the same."""
        found = self.offer.machines(pool)
        cards = {(item.card, item.card_memory) for item in found}
        card, memory = cards.pop() if len(cards) == 1 else ("", 0)
        return NodeKind(found[0].architecture, found[0].gpus > 0, card, memory)

    def for_machines(self, made: Made, pool: Pool | None = None) -> list[str]:
        """Return the subnets for nodes, restricted to zones that offer the pool's types if a pool is given.

        The server's pool gets one subnet: its disk is bound to one zone, and nodes of another cannot attach it.
        """
        zones = self.subnets or {made[f"private-{zone}"]: zone for zone in self.zones if f"private-{zone}" in made}
        if pool is None:
            return list(zones)
        types = self.offer.machines(pool)
        fits = [subnet for subnet, zone in zones.items() if any(zone in item.zones for item in types)]
        return fits[:1] if pool.name == SYSTEM else fits

    def for_control(self, made: Made) -> list[str]:
        """Return the subnets for the control plane and load balancers."""
        public = [made[f"public-{zone}"] for zone in self.zones if f"public-{zone}" in made]
        return [*self.for_machines(made), *public]
