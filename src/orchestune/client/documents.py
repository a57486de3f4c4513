"""The JSON documents of docs/reference/protocol.md as types. They say what a client may rely on."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

Parameters = dict[str, bool | int | float | str]


class ReasonDocument(TypedDict):
    """Why something is in its state."""

    code: str
    message: str


class Measurement(TypedDict):
    """The value of one metric that counts for a trial."""

    value: float
    stddev: float | None


class BestDocument(TypedDict):
    """A best trial: the one, or one of the Pareto front."""

    trial: int
    metrics: dict[str, Measurement]
    parameters: Parameters
    expected: Measurement | None


class Weight(TypedDict):
    """How much a parameter matters; all of an experiment's together are 1."""

    name: str
    importance: float


class ImportanceDocument(TypedDict):
    """Which parameters matter for a metric."""

    metric: str
    trials: int
    parameters: list[Weight]


class FindingDocument(TypedDict):
    """A measured fact."""

    code: str
    message: str
    parameter: str | None


class ExplanationDocument(TypedDict):
    """What a search shows."""

    metric: str
    trials: int
    parameters: list[Weight]
    findings: list[FindingDocument]


class MetricDocument(TypedDict):
    """A declared metric."""

    name: str
    goal: str
    take: str
    threshold: float | None
    constraint: str | None
    optimized: bool


class RunningDocument(TypedDict):
    """A trial that an attempt works on now."""

    trial: int
    attempt: str
    worker: str | None
    started_at: str
    parameters: Parameters


class WorkerDocument(TypedDict):
    """A worker of the experiment."""

    id: str
    name: str
    node: str
    state: str
    slots: int
    running: int
    succeeded: int
    failed: int
    reason: str | None
    came_from: str | None


class Counts(TypedDict):
    """Trials by state."""

    queued: int
    running: int
    completed: int
    failed: int
    pruned: int
    cancelled: int


class WarmStartDocument(TypedDict):
    """What a search began with: where it came from, and how many results there are."""

    source: str
    results: int


class AskedDocument(TypedDict):
    """What each trial takes; None: not said."""

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


class RoomDocument(TypedDict):
    """What each trial asked for, what was measured, and what is set aside for the next one."""

    asked: AskedDocument
    measured: MeasuredMemory | None
    set_aside: AskedDocument


class Status(TypedDict):
    """An experiment now. `search`, `warm_start`, `running`, `resources` and `workers` are left out of lists."""

    schema: int
    id: str
    handle: str
    name: str
    owner: str
    cluster: str
    state: str
    desired: str
    reason: ReasonDocument | None
    budget: int
    parallelism: int
    folds: int
    priority: int
    labels: dict[str, str]
    revision: int
    engine: str
    metrics: list[MetricDocument]
    counts: Counts
    best: list[BestDocument]
    search: NotRequired[str]
    warm_start: NotRequired[WarmStartDocument | None]
    running: NotRequired[list[RunningDocument]]
    resources: NotRequired[RoomDocument]
    workers: NotRequired[list[WorkerDocument]]
    eta_seconds: float | None
    origin: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    url: str


class AttemptDocument(TypedDict):
    """One execution of a task; `tail` stands in the answer about a single trial only."""

    id: str
    task: int
    number: int
    state: str
    worker: str | None
    node: str | None
    gpus: list[str]
    exit_code: int | None
    signal: int | None
    reason: ReasonDocument | None
    started_at: str | None
    finished_at: str | None
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    raised_memory_bytes: int | None
    """what it was given, where an attempt before it was killed for memory"""
    resumed_from: dict[str, Any] | None
    log_bytes: int | None
    logs_complete: bool
    tail: NotRequired[str | None]


class ArtifactDocument(TypedDict):
    """A kept file of a trial; `digest` is its SHA-256 in hex."""

    path: str
    digest: str
    size: int


class TaskDocument(TypedDict):
    """One fold of a trial."""

    fold: int
    state: str
    metrics: dict[str, Measurement]


class TrialDocument(TypedDict):
    """One configuration and its outcome."""

    number: int
    state: str
    reason: ReasonDocument | None
    source: str
    suggested_after: NotRequired[int | None]
    parameters: Parameters
    metrics: dict[str, Measurement]
    seed: int
    bundle: str | None
    revision: int
    attempts: list[AttemptDocument]
    tasks: NotRequired[list[TaskDocument]]
    checkpoint: NotRequired[dict[str, Any] | None]
    artifacts: NotRequired[list[ArtifactDocument]]
    command: NotRequired[str | None]
    created_at: str
    started_at: str | None
    finished_at: str | None


class TerminalDocument(TypedDict):
    """What came through a trial's terminal; `data` in base64. `over`: the exit code, once everything came."""

    next: int
    data: NotRequired[str]
    over: NotRequired[int | None]


class LogChunk(TypedDict):
    """A piece of an attempt's output; `gap` counts the bytes that were dropped before `offset`.

    Nothing comes after the `last` one. Where output and end did not arrive together, no piece says so.
    """

    cursor: int
    trial: int
    attempt: str
    number: int
    worker: str | None
    at: str
    offset: int
    text: str
    gap: int
    last: bool


class SpecificationDocument(TypedDict):
    """What an experiment was started with."""

    specification: dict[str, Any]
    launch: dict[str, Any]
    bundle: str | None
    revision: int
    origin: str | None


class ServerDocument(TypedDict):
    """The server itself."""

    version: str
    protocol: int
    home: str
    started_at: str
    pid: int


class Amount(TypedDict):
    """Cores, bytes of memory, GPUs; None where it is not known."""

    cpu: float | None
    memory: int | None
    gpu: int | float


class MachineDocument(TypedDict):
    """One machine of a cluster; `others` None: not known."""

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
    state: str
    desired: str
    running: int
    parallelism: int
    each: Amount
    workers: int
    pending: int
    waiting: str | None


class GpuHolder(TypedDict):
    """A worker that has a card, or a part of it."""

    experiment: str | None
    worker: str
    part: float
    trials: list[int]


class GpuDocument(TypedDict):
    """One card; `holders` None: not known."""

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


class RetirementDocument(TypedDict):
    """When a cluster that nobody uses is archived and destroyed."""

    after: float
    archive: str
    idle_since: str | None
    destroys_at: str | None
    begun: bool
    trouble: str


class ClusterDocument(TypedDict):
    """The machines behind a server, and what it runs on them."""

    schema: int
    cluster: str
    clusters: list[str]
    elastic: bool
    machines: list[MachineDocument]
    notes: list[str]
    retirement: RetirementDocument | None
    experiments: list[ClusterExperiment]
    gpus: list[GpuDocument]
    quarantined: list[QuarantinedMachine]
    events: list[ClusterEvent]


class BestSoFarDocument(TypedDict):
    """Every step to a better value of the first metric: how many trials had finished, which, when, and the cost."""

    finished: list[int]
    number: list[int]
    value: list[float | None]
    finished_at: list[str | None]
    seconds: list[float | None]
    all_seconds: float


class ColumnsDocument(TypedDict):
    """Trials by columns, in the order in which they finished."""

    total: int
    shown: int
    number: list[int]
    state: list[str]
    finished_at: list[str | None]
    seconds: list[float | None]
    metrics: dict[str, list[float | None]]
    parameters: dict[str, list[bool | int | float | str | None]]
    best: BestSoFarDocument
    front: list[int]


class ContourDocument(TypedDict):
    """A metric over two parameters: the mean around each place, row by row; None where no trial is near."""

    metric: str
    x: str
    y: str
    trials: int
    across: list[bool | int | float | str]
    up: list[bool | int | float | str]
    values: list[list[float | None]]


class HypervolumeDocument(TypedDict):
    """How much of the space between several metrics was covered, after each trial that added to it."""

    metrics: list[str]
    reference: dict[str, float] | None
    finished: list[int]
    number: list[int]
    value: list[float]


class SpanDocument(TypedDict):
    """When and where an attempt ran."""

    trial: int
    task: int
    number: int
    state: str
    worker: str | None
    node: str | None
    leased_at: str
    finished_at: str | None


class TimelineDocument(TypedDict):
    """The newest attempts, the newest first; `more`: older ones are left out."""

    items: list[SpanDocument]
    more: bool


class CurveDocument(TypedDict):
    """What an attempt reported: [step, value]."""

    trial: int
    task: int
    number: int
    state: str
    reported: int
    points: list[tuple[float, float]]


class CurvesDocument(TypedDict):
    """What trials reported of a metric while they ran."""

    metric: str
    items: list[CurveDocument]


class ImportedDocument(TypedDict):
    """What became of a record that was sent."""

    experiment: str
    handle: str
    imported: bool
    rows: dict[str, int]


class InvitationDocument(TypedDict):
    """A link that lets one browser in, once."""

    path: str
    expires_at: str
