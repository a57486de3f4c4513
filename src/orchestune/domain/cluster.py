"""What a cluster at a cloud provider shall be, and what is told of making, changing and removing one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SYSTEM = "system"
"""the pool that is there for the server, and for what a cluster needs itself"""
SERVER_ROLES = ("viewer", "editor", "owner")
"""what the server knows, from the weakest to the strongest"""
ROLES = (*SERVER_ROLES, "admin")
"""the same; `admin` may do everything in the cluster, beside what the server has"""


@dataclass(frozen=True)
class Taint:
    """Keeps pods away that do not tolerate it."""

    key: str
    value: str
    effect: str
    """NoSchedule, PreferNoSchedule or NoExecute"""


@dataclass(frozen=True)
class Pool:
    """Machines of one kind, between a least and a largest number."""

    name: str
    instance_types: tuple[str, ...]
    """the first that has room is taken; all are of one architecture"""
    least: int = 0
    most: int = 1
    disk: int = 100 * 2**30
    """bytes"""
    spot: bool = False
    gpu: bool = False
    """whether the file says that they have GPUs"""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    key: str = ""
    """where it stands in the file"""
    any_type: bool = False
    """of `instance_types` those will do that are offered where the cluster is: the file does not name them"""


@dataclass(frozen=True)
class Network:
    """Where the machines stand. Without `vpc` a network is made."""

    vpc: str = ""
    subnets: tuple[str, ...] = ()
    """of `vpc`, in which machines and control plane get addresses"""
    cidr: str = "10.42.0.0/16"
    """of a network that is made"""
    endpoint: str = "public"
    """who reaches the API server: `public` (who has credentials, from everywhere) or `private` (from the network)"""
    allow: tuple[str, ...] = ()
    """networks that reach a public endpoint; empty: every one"""


@dataclass(frozen=True)
class Grant:
    """Somebody else who may use the cluster."""

    who: str
    """as the provider names people and roles"""
    role: str
    """one of ROLES"""


@dataclass(frozen=True)
class Retirement:
    """That a cluster destroys itself once nobody uses it."""

    after: float
    """seconds with nothing unfinished and no worker"""
    archive: str
    """where its records and files go first, `s3://BUCKET/PREFIX`: a place that is not the cluster's own"""


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster as its file describes it."""

    provider: str
    name: str
    pools: tuple[Pool, ...]
    region: str = ""
    """empty: what the provider's own settings say"""
    zones: tuple[str, ...] = ()
    """empty: chosen by what they offer"""
    version: str = ""
    """of Kubernetes; empty: the provider's default"""
    network: Network = Network()
    access: tuple[Grant, ...] = ()
    scale_down: float = 600.0
    """seconds after which a machine without work goes"""
    retirement: Retirement | None = None
    """None: it stays until somebody destroys it"""
    bucket: bool = False
    """whether files lie in an object store of the provider"""
    policies: tuple[str, ...] = ()
    """more rights for machines, as the provider names them"""
    images: Mapping[str, str] = field(default_factory=dict)
    """what runs beside the server from another registry than its publisher's"""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Payer:
    """Who pays for a cluster, and where it stands."""

    provider: str
    account: str
    region: str
    identity: str
    """who asks, as the provider names him"""


@dataclass(frozen=True)
class Planned:
    """One resource that is to be there."""

    kind: str
    name: str
    detail: str = ""

    @property
    def called(self) -> str:
        """How messages call it."""
        return f"{self.kind} {self.name}"


class Happened(StrEnum):
    """What became of a resource."""

    WAITING = "waiting"
    FOUND = "found"
    MADE = "made"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True)
class Event:
    """Told while a cluster is made, changed or removed."""

    what: Happened
    resource: Planned
    seconds: float = 0.0
    """since work on this resource began"""


@dataclass(frozen=True)
class Complaint:
    """Something that the provider will not do as the file asks."""

    key: str
    """where it stands in the file, such as `pools.big.instance_type`"""
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Left:
    """Something that is still there after a removal, or could not be looked for."""

    service: str
    kind: str
    name: str
    why: str = ""


@dataclass(frozen=True)
class Proof:
    """Whether anything is left of a cluster, service by service."""

    looked: tuple[str, ...]
    """at these services, completely"""
    left: tuple[Left, ...] = ()


@dataclass(frozen=True)
class Reached:
    """How the API server of a cluster that was made is reached, and what belongs to it."""

    server: str
    authority: str
    """certificates (PEM) in base64, as kubeconfigs have it"""
    registry: str = ""
    """where images are pushed to; empty: there is none"""
    files: str = ""
    """where files lie; empty: on the server's disk"""


@dataclass(frozen=True)
class PoolState:
    """A pool as it is."""

    name: str
    state: str
    instance_types: tuple[str, ...]
    least: int
    now: int
    most: int
    spot: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class Standing:
    """A cluster as the provider shows it."""

    name: str
    region: str
    state: str
    """in the provider's words"""
    version: str = ""
    pools: tuple[PoolState, ...] = ()
    trouble: str = ""
    up: bool = True
    """its API server answers"""
