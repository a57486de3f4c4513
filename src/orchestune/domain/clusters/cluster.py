"""Specification of a cluster at a cloud provider, and the events of creating, changing and removing one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SYSTEM = "system"
"""name of the pool for the server and the cluster's own components"""
SERVER_ROLES = ("viewer", "editor", "owner")
"""roles of the server, from the weakest to the strongest"""
ROLES = (*SERVER_ROLES, "admin")
"""SERVER_ROLES and `admin`, which may also do everything in the cluster itself"""


@dataclass(frozen=True)
class Taint:
    """A node taint, which repels pods that do not tolerate it."""

    key: str
    value: str
    effect: str
    """NoSchedule, PreferNoSchedule or NoExecute"""


@dataclass(frozen=True)
class Pool:
    """A node pool of between `min_nodes` and `max_nodes` nodes."""

    name: str
    instance_types: tuple[str, ...]
    """in order of preference: the first with capacity is used; all have one architecture"""
    min_nodes: int = 0
    max_nodes: int = 1
    disk: int = 100 * 2**30
    """bytes"""
    spot: bool = False
    gpu: bool = False
    """True if the file says that the nodes have GPUs"""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    key: str = ""
    """key of the pool in the file"""
    any_type: bool = False
    """the file names no types: of `instance_types`, those offered at the cluster's location are used"""


@dataclass(frozen=True)
class NetworkSpec:
    """Network of the nodes, created if `vpc` is empty."""

    vpc: str = ""
    subnets: tuple[str, ...] = ()
    """subnets of `vpc` for nodes and control plane"""
    cidr: str = "10.42.0.0/16"
    """address range of a created network"""
    endpoint: str = "public"
    """access to the API server: `public` (from everywhere, with credentials) or `private` (from the network)"""
    allow: tuple[str, ...] = ()
    """networks that can reach a public endpoint; empty: all"""


@dataclass(frozen=True)
class AccessGrant:
    """Access to the cluster for another user or role."""

    who: str
    """user or role, in the provider's notation"""
    role: str
    """one of ROLES"""


@dataclass(frozen=True)
class TeardownSettings:
    """Settings of the automatic teardown of an unused cluster."""

    after: float
    """seconds without unfinished experiments and workers"""
    archive: str
    """destination of records and files before the teardown, `s3://BUCKET/PREFIX`, outside the cluster's own storage"""


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster as its file describes it."""

    provider: str
    name: str
    pools: tuple[Pool, ...]
    region: str = ""
    """empty: the default of the provider's own settings"""
    zones: tuple[str, ...] = ()
    """empty: up to three that offer the pools' instance types"""
    version: str = ""
    """Kubernetes version; empty: the provider's default"""
    network: NetworkSpec = NetworkSpec()
    access: tuple[AccessGrant, ...] = ()
    scale_down: float = 600.0
    """seconds after which an idle node is removed"""
    retirement: TeardownSettings | None = None
    """None: the cluster stays until a user destroys it"""
    bucket: bool = False
    """True if files are stored in an object store of the provider"""
    policies: tuple[str, ...] = ()
    """additional policies of the nodes, in the provider's notation"""
    images: Mapping[str, str] = field(default_factory=dict)
    """images of components beside the server that do not come from their publisher's registry"""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CostCenter:
    """Account and region in which a cluster is billed."""

    provider: str
    account: str
    region: str
    identity: str
    """the caller, in the provider's notation"""


@dataclass(frozen=True)
class Planned:
    """One resource of the plan."""

    kind: str
    name: str
    detail: str = ""

    @property
    def title(self) -> str:
        """Name of the resource in messages."""
        return f"{self.kind} {self.name}"


class CompletedStep(StrEnum):
    """Progress of one resource."""

    WAITING = "waiting"
    FOUND = "found"
    MADE = "made"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True)
class ProvisioningEvent:
    """Progress report while a cluster is created, changed or removed."""

    what: CompletedStep
    resource: Planned
    seconds: float = 0.0
    """since work on this resource began"""


@dataclass(frozen=True)
class PlanProblem:
    """A setting of the file that the provider cannot fulfil."""

    key: str
    """key in the file, such as `pools.big.instance_type`"""
    message: str
    hint: str = ""


@dataclass(frozen=True)
class RemainingResource:
    """A resource that remains after a removal, or could not be checked."""

    service: str
    kind: str
    name: str
    why: str = ""


@dataclass(frozen=True)
class RemovalCheck:
    """Check for remaining resources of a cluster, service by service."""

    looked: tuple[str, ...]
    """services that were checked completely"""
    left: tuple[RemainingResource, ...] = ()


@dataclass(frozen=True)
class ClusterAddresses:
    """Addresses of a created cluster: API server, registry and file storage."""

    server: str
    authority: str
    """CA certificates (PEM) in base64, as in kubeconfigs"""
    registry: str = ""
    """registry to push images to; empty: none"""
    files: str = ""
    """storage of files; empty: the server's disk"""


@dataclass(frozen=True)
class PoolState:
    """Current state of a pool."""

    name: str
    state: str
    instance_types: tuple[str, ...]
    least: int
    now: int
    most: int
    spot: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class CloudStatus:
    """Status of a cluster as the provider reports it."""

    name: str
    region: str
    state: str
    """in the provider's terms"""
    version: str = ""
    pools: tuple[PoolState, ...] = ()
    trouble: str = ""
    up: bool = True
    """True if its API server answers"""
