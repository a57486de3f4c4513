"""Everything that is known before the first resource is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.facts import MachineType, Offer
from orchestune.clusters.aws.made import Made
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests.pools import Kind
from orchestune.domain.cluster import SYSTEM, ClusterSpec, Pool


@dataclass(frozen=True)
class Site:
    """One cluster, as it is to be made by somebody somewhere."""

    aws: Aws
    spec: ClusterSpec
    names: Names
    offer: Offer
    zones: tuple[str, ...]
    version: str
    subnets: Mapping[str, str] = field(default_factory=dict)
    """the zone of each subnet of a network that is there already, by its id"""

    def machine(self, pool: Pool) -> MachineType:
        """What the pool's machines are like: all of its types are of one architecture and kind."""
        return self.offer.machines(pool)[0]

    def kind(self, pool: Pool) -> Kind:
        """The same for requests; which card it is, where all have the same."""
        found = self.offer.machines(pool)
        cards = {(item.card, item.card_memory) for item in found}
        card, memory = cards.pop() if len(cards) == 1 else ("", 0)
        return Kind(found[0].architecture, found[0].gpus > 0, card, memory)

    def for_machines(self, made: Made, pool: Pool | None = None) -> list[str]:
        """The subnets for machines; of a pool those in whose zones it finds any.

        The pool of the server stands in one zone: there its disk is, and a machine of another zone cannot have it.
        """
        zones = self.subnets or {made[f"private-{zone}"]: zone for zone in self.zones if f"private-{zone}" in made}
        if pool is None:
            return list(zones)
        types = self.offer.machines(pool)
        fits = [subnet for subnet, zone in zones.items() if any(zone in item.zones for item in types)]
        return fits[:1] if pool.name == SYSTEM else fits

    def for_control(self, made: Made) -> list[str]:
        """The subnets in which the control plane and load balancers get addresses."""
        public = [made[f"public-{zone}"] for zone in self.zones if f"public-{zone}" in made]
        return [*self.for_machines(made), *public]
