"""Experiments, and the findings of a search."""

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
    """A measured value with its standard deviation."""

    value: float
    stddev: float | None


class Metric(TypedDict):
    """A declared metric."""

    name: str
    goal: Literal["maximize", "minimize"]
    take: str
    threshold: float | None
    constraint: Annotated[
        str | None, Field(description="limit that a trial must keep to become the best, such as `<= 20`")
    ]
    optimized: bool


class Best(TypedDict):
    """A trial that is not dominated by another one."""

    trial: int
    metrics: dict[str, Measured]
    parameters: Parameters
    expected: Annotated[
        Measured | None,
        Field(
            description="of a noisy search: expected value of the first metric, by which the trial is the best; "
            "null if the measured value counts"
        ),
    ]
    measured_best: Annotated[
        int | None,
        Field(
            description="the trial with the best measured value, if that is another one, whose expected value is worse"
        ),
    ]
    measured_value: NotRequired[Annotated[Measured | None, Field(description="its value of the first metric")]]
    measured_expected: NotRequired[
        Annotated[Measured | None, Field(description="its expected value of the first metric")]
    ]


class Weight(TypedDict):
    """The importance of a parameter; the sum over all parameters is 1."""

    name: str
    importance: float


class Importance(TypedDict):
    """The importance of parameters for a metric; empty if too few trials have completed."""

    metric: str
    trials: Annotated[int, Field(description="number of completed trials")]
    parameters: list[Weight]


class Finding(TypedDict):
    """A measured fact; `parameter` is null for one about the search as a whole."""

    code: str
    message: str
    parameter: str | None


class Explanation(TypedDict):
    """The findings of a search."""

    metric: str
    trials: int
    parameters: list[Weight]
    findings: list[Finding]


class Latest(TypedDict):
    """The last value of the first metric that an attempt reported."""

    step: float | None
    value: float


class RunningTrial(TypedDict):
    """A live attempt."""

    trial: int
    attempt: str
    worker: str | None
    started_at: str
    parameters: Parameters
    latest: NotRequired[Latest | None]
    curve: NotRequired[
        Annotated[list[float], Field(description="values of the first metric so far, evenly spaced, the latest last")]
    ]
    ending: NotRequired[Annotated[bool, Field(description="it has been ordered to stop early")]]


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
    sending: NotRequired[Annotated[bool, Field(description="files of its trials are being uploaded")]]
    came_from: Annotated[str | None, Field(description="handle of the experiment that the worker served before")]
    objects: Annotated[
        dict[str, str],
        Field(description="where it runs: `namespace`, `job` and `pod`, or `container`, or Slurm's `job`"),
    ]


class Counts(TypedDict):
    """The number of trials in each state."""

    queued: int
    running: int
    completed: int
    failed: int
    pruned: int
    cancelled: int


class BegunWith(TypedDict):
    """Earlier results that the engine learned before the first trial (warm start)."""

    source: str
    results: int


class Asked(TypedDict):
    """Resources of each trial; null: not specified. `gpu_memory` in bytes."""

    cpu: float | None
    memory: int | None
    gpu: int | float
    gpu_type: NotRequired[str | None]
    gpu_memory: NotRequired[int | None]
    pin: NotRequired[bool]


class MeasuredMemory(TypedDict):
    """Memory that finished attempts used."""

    attempts: int
    peak_memory_bytes: int


class RoomForTrials(TypedDict):
    """Requested resources of each trial, measured memory, and the resources reserved for the next one."""

    asked: Asked
    measured: MeasuredMemory | None
    set_aside: Asked


class Status(TypedDict):
    """The present state of an experiment.

    Lists omit `search`, `warm_start`, `running`, `resources`, `workers`, and `notes` except that of a full disk.
    """

    schema: Literal[1]
    id: str
    handle: str
    name: str
    owner: str
    owner_authenticated: NotRequired[
        Annotated[bool, Field(description="the owner was authenticated at creation; false: the name is only claimed")]
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
    search: NotRequired[Annotated[str, Field(description="what the engine does at present and why, for people")]]
    notes: NotRequired[Annotated[list[str], Field(description="notes for people, such as why nothing is pruned")]]
    warm_start: NotRequired[BegunWith | None]
    files_dropped_at: NotRequired[
        Annotated[str | None, Field(description="when its logs and files were deleted by the server's `retention`")]
    ]
    running: NotRequired[list[RunningTrial]]
    resources: NotRequired[RoomForTrials]
    workers: NotRequired[Annotated[list[Worker], Field(description="the registered ones, and the last 50 that ended")]]
    workers_left_out: NotRequired[Annotated[int, Field(description="number of further ended ones")]]
    eta_seconds: float | None
    origin: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    idle_seconds: NotRequired[
        Annotated[float, Field(description="for which it was finished before an `extend` or `resume`")]
    ]
    url: str


class StatusPage(TypedDict):
    """Experiments, newest first; pass `next` as `before`. `total` matches of a search, of `known` experiments."""

    items: list[Status]
    next: str | None
    total: NotRequired[int]
    known: NotRequired[int]


class Specification(TypedDict):
    """The specification that an experiment was created with."""

    specification: dict[str, Any]
    launch: dict[str, Any]
    bundle: str | None
    revision: int
    origin: str | None
    owned_by_caller: NotRequired[
        Annotated[bool, Field(description="the caller has proved to be the user who created it on this server")]
    ]


class Event(TypedDict):
    """An event of an experiment."""

    seq: int
    at: str
    actor: str
    kind: str
    data: dict[str, Any]


class EventPage(TypedDict):
    """Events in order; pass `next` as `after`."""

    items: list[Event]
    next: int
