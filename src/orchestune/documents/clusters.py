"""The machines behind a server."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict


class Amount(TypedDict):
    """Cores, bytes of memory, GPUs; null where it is not known."""

    cpu: float | None
    memory: int | None
    gpu: int | float


class SurveyedMachine(TypedDict):
    """One machine of a cluster: what it has, and who uses it (`others` null: not known)."""

    name: str
    pool: str
    has: Amount
    ours: Amount
    others: Amount | None
    trouble: str | None


class ClusterExperiment(TypedDict):
    """An experiment that is not over."""

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
    pending: Annotated[int, Field(description="folds that wait for a free place")]
    waiting: str | None


class GpuHolder(TypedDict):
    """A worker that has a card, or a part of it."""

    experiment: str | None
    worker: str
    part: float
    trials: list[int]


class Gpu(TypedDict):
    """One card; `holders` is null where the place does not tell who has it."""

    machine: str
    id: str
    model: str | None
    memory: int | None
    holders: list[GpuHolder] | None


class QuarantinedMachine(TypedDict):
    """A machine that gets no trials for a while."""

    node: str
    reason: str
    until: str | None


class ClusterEvent(TypedDict):
    """Something that happened to a worker or a machine."""

    at: str | None
    kind: str
    node: str
    worker: str
    message: str


class Retirement(TypedDict):
    """The time at which an unused cluster is archived and destroyed."""

    after: Annotated[float, Field(description="seconds with nothing unfinished and no worker")]
    archive: Annotated[str, Field(description="where records and files go first")]
    idle_since: str | None
    destroys_at: str | None
    begun: Annotated[bool, Field(description="nothing new is taken any more")]
    trouble: Annotated[str, Field(description="why it is not destroyed, although it should be; empty where it is well")]


class Cluster(TypedDict):
    """The machines behind the server, and what it runs on them."""

    schema: Literal[1]
    cluster: str
    clusters: list[str]
    elastic: bool
    machines: list[SurveyedMachine]
    notes: Annotated[list[str], Field(description="what else is worth knowing of the place")]
    retirement: Annotated[Retirement | None, Field(description="null: it stays until somebody destroys it")]
    experiments: list[ClusterExperiment]
    gpus: list[Gpu]
    quarantined: list[QuarantinedMachine]
    events: Annotated[list[ClusterEvent], Field(description="the newest first")]
