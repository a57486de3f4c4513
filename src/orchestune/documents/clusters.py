"""The nodes and GPUs of a server's clusters, and what runs on them."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict


class Amount(TypedDict):
    """Cores, bytes of memory, GPUs; null if unknown."""

    cpu: float | None
    memory: int | None
    gpu: int | float


class SurveyedMachine(TypedDict):
    """One node of a cluster: its capacity `has`, and what Orchestune and others use of it (`others` null: unknown)."""

    name: str
    pool: str
    has: Amount
    ours: Amount
    others: Amount | None
    trouble: str | None


class ClusterExperiment(TypedDict):
    """An unfinished experiment."""

    id: str
    handle: str
    name: str
    owner: str
    owner_authenticated: NotRequired[Annotated[bool, Field(description="as in `Status`")]]
    state: str
    desired: str
    running: int
    parallelism: int
    each: Amount
    workers: int
    pending: Annotated[int, Field(description="folds that wait for a free slot")]
    waiting: str | None


class GpuHolder(TypedDict):
    """A worker that uses a GPU, or a part of it."""

    experiment: str | None
    worker: str
    part: float
    trials: list[int]


class Gpu(TypedDict):
    """One GPU; `holders` is null if the cluster does not report its users."""

    machine: str
    id: str
    model: str | None
    memory: int | None
    holders: list[GpuHolder] | None


class QuarantinedMachine(TypedDict):
    """A quarantined node: it gets no trials until the quarantine ends."""

    node: str
    reason: str
    until: str | None


class ClusterEvent(TypedDict):
    """An event of a worker or a node."""

    at: str | None
    kind: str
    node: str
    worker: str
    message: str


class Retirement(TypedDict):
    """The automatic teardown of an idle cluster: settings and state."""

    after: Annotated[float, Field(description="seconds without unfinished experiments and workers")]
    archive: Annotated[str, Field(description="destination of records and files before the teardown")]
    idle_since: str | None
    destroys_at: str | None
    begun: Annotated[bool, Field(description="the teardown has begun: no new experiments are accepted")]
    trouble: Annotated[str, Field(description="why the teardown is delayed; empty if it is not")]


class Cluster(TypedDict):
    """The nodes of a cluster, and the experiments that run on them."""

    schema: Literal[1]
    cluster: str
    clusters: list[str]
    elastic: bool
    machines: list[SurveyedMachine]
    notes: Annotated[list[str], Field(description="further facts about the cluster, for people")]
    retirement: Annotated[Retirement | None, Field(description="null: it stays until a user destroys it")]
    experiments: list[ClusterExperiment]
    gpus: list[Gpu]
    quarantined: list[QuarantinedMachine]
    events: Annotated[list[ClusterEvent], Field(description="newest first")]
