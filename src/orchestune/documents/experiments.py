"""Experiments, and what is known of a search."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

Parameters = dict[str, bool | int | float | str]
ExperimentState = Literal["pending", "running", "paused", "stopping", "completed", "failed", "stopped"]
DesiredState = Literal["running", "paused", "stopped"]


class Reason(TypedDict):
    """A code for programs and a sentence for people."""

    code: str
    message: str


class Measured(TypedDict):
    """A value that counts."""

    value: float
    stddev: float | None


class Metric(TypedDict):
    """A declared metric."""

    name: str
    goal: Literal["maximize", "minimize"]
    take: str
    threshold: float | None
    constraint: Annotated[str | None, Field(description="what a trial keeps to become the best, such as `<= 20`")]
    optimized: bool


class Best(TypedDict):
    """A trial that no other one beats."""

    trial: int
    metrics: dict[str, Measured]
    parameters: Parameters
    expected: Annotated[
        Measured | None,
        Field(
            description="of a noisy search: what a model expects of it in the first metric, by which it is the best; "
            "null where its value is taken as it is"
        ),
    ]
    measured_best: Annotated[
        int | None,
        Field(description="the trial with the best value, where that is another one, which a model trusts less"),
    ]


class Weight(TypedDict):
    """How much a parameter matters; all of an experiment's together are 1."""

    name: str
    importance: float


class Importance(TypedDict):
    """Which parameters matter for a metric; none are listed where too few trials have completed."""

    metric: str
    trials: Annotated[int, Field(description="completed ones")]
    parameters: list[Weight]


class Finding(TypedDict):
    """A measured fact; `parameter` is null for one about the search as a whole."""

    code: str
    message: str
    parameter: str | None


class Explanation(TypedDict):
    """What a search shows."""

    metric: str
    trials: int
    parameters: list[Weight]
    findings: list[Finding]


class Latest(TypedDict):
    """What an attempt reported last of the first metric."""

    step: float | None
    value: float


class RunningTrial(TypedDict):
    """An attempt that is live."""

    trial: int
    attempt: str
    worker: str | None
    started_at: str
    parameters: Parameters
    latest: NotRequired[Latest | None]
    ending: NotRequired[Annotated[bool, Field(description="it is told to end before it is through")]]


class Worker(TypedDict):
    """A worker of an experiment."""

    id: str
    name: str
    node: str
    state: str
    slots: int
    running: int
    succeeded: int
    failed: int
    reason: str | None
    sending: NotRequired[Annotated[bool, Field(description="files of its trials are on their way")]]
    came_from: Annotated[str | None, Field(description="the handle of the experiment for which it worked before")]


class Counts(TypedDict):
    """How many trials are in each state."""

    queued: int
    running: int
    completed: int
    failed: int
    pruned: int
    cancelled: int


class BegunWith(TypedDict):
    """Results from elsewhere that the engine was told before the first trial."""

    source: str
    results: int


class Asked(TypedDict):
    """What each trial takes; null: not said. `gpu_memory` in bytes."""

    cpu: float | None
    memory: int | None
    gpu: int | float
    gpu_type: NotRequired[str | None]
    gpu_memory: NotRequired[int | None]
    pin: NotRequired[bool]


class MeasuredMemory(TypedDict):
    """What attempts took that have ended."""

    attempts: int
    peak_memory_bytes: int


class RoomForTrials(TypedDict):
    """What each trial asked for, what was measured, and what is set aside for the next one."""

    asked: Asked
    measured: MeasuredMemory | None
    set_aside: Asked


class Status(TypedDict):
    """An experiment now. `search`, `warm_start`, `running`, `resources`, `workers` are left out of lists, and so are
    `notes` but that of a full disk.
    """

    schema: Literal[1]
    id: str
    handle: str
    name: str
    owner: str
    owner_authenticated: NotRequired[
        Annotated[bool, Field(description="the owner was proved when it was created here; false: the name is a claim")]
    ]
    cluster: str
    state: ExperimentState
    desired: DesiredState
    reason: Reason | None
    budget: int
    parallelism: int
    folds: Annotated[int, Field(description="folds of each trial; `parallelism` counts them")]
    priority: int
    labels: dict[str, str]
    revision: int
    engine: str
    metrics: list[Metric]
    counts: Counts
    best: list[Best]
    search: NotRequired[Annotated[str, Field(description="what the engine does now and why, for people")]]
    notes: NotRequired[
        Annotated[list[str], Field(description="what people should know, such as why nothing is pruned")]
    ]
    warm_start: NotRequired[BegunWith | None]
    files_dropped_at: NotRequired[
        Annotated[str | None, Field(description="when its logs and files went, as the server's `retention` says")]
    ]
    running: NotRequired[list[RunningTrial]]
    resources: NotRequired[RoomForTrials]
    workers: NotRequired[Annotated[list[Worker], Field(description="those that are there, and the last 50 that ended")]]
    workers_left_out: NotRequired[Annotated[int, Field(description="how many more ended")]]
    eta_seconds: float | None
    origin: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    url: str


class StatusPage(TypedDict):
    """Experiments, newest first; `next` goes into `before`. Of a search: how many fit, and how many there are."""

    items: list[Status]
    next: str | None
    total: NotRequired[int]
    known: NotRequired[int]


class Specification(TypedDict):
    """What an experiment was created with."""

    specification: dict[str, Any]
    launch: dict[str, Any]
    bundle: str | None
    revision: int
    origin: str | None
    owned_by_caller: NotRequired[
        Annotated[bool, Field(description="the caller has proved to be the user who created it on this server")]
    ]


class Event(TypedDict):
    """Something that happened."""

    seq: int
    at: str
    actor: str
    kind: str
    data: dict[str, Any]


class EventPage(TypedDict):
    """Events in order; `next` goes into `after`."""

    items: list[Event]
    next: int
