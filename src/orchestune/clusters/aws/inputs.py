"""Inputs that are known before the first resource is created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import ResourceIds
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

    def node_kind(self, pool: Pool) -> NodeKind:
        """Return the pool's properties for requests; the GPU model only if all types have the same."""
        machines = self.offer.machines(pool)
        gpu_models = {(machine.gpu_model, machine.gpu_memory_mib) for machine in machines}
        gpu_model, memory_mib = gpu_models.pop() if len(gpu_models) == 1 else ("", 0)
        return NodeKind(machines[0].architecture, machines[0].gpus > 0, gpu_model, memory_mib)

    def node_subnets(self, ids: ResourceIds, pool: Pool | None = None) -> list[str]:
        """Return the subnets for nodes, restricted to zones that offer the pool's types if a pool is given.

        The server's pool gets one subnet: its disk is bound to one zone, and nodes of another cannot attach it.
        """
        zones = self.subnets or {ids[f"private-{zone}"]: zone for zone in self.zones if f"private-{zone}" in ids}
        if pool is None:
            return list(zones)
        types = self.offer.machines(pool)
        suitable = [subnet for subnet, zone in zones.items() if any(zone in machine.zones for machine in types)]
        return suitable[:1] if pool.name == SYSTEM else suitable

    def control_plane_subnets(self, ids: ResourceIds) -> list[str]:
        """Return the subnets for the control plane and load balancers."""
        public = [ids[f"public-{zone}"] for zone in self.zones if f"public-{zone}" in ids]
        return [*self.node_subnets(ids), *public]
