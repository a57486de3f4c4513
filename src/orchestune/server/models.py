"""The documents of the client routes, as the OpenAPI document describes them.

Requests are checked against these. Answers are not: the services write them, and a test holds both against each other.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Parameters = dict[str, bool | int | float | str]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Launch(_Request):
    """What the caller's shell looked like."""

    model_config = ConfigDict(extra="allow", strict=True)
    env: dict[str, str] = {}
    root: str | None = None
    links: list[str] = Field(default=[], description="paths below `root` that the bundle leaves out")


class WarmValue(_Request):
    """A value of a metric, and how sure it is."""

    value: float
    stddev: float | None = None


class WarmResult(_Request):
    """A result from elsewhere, as trials have it. It may lack parameters."""

    parameters: Parameters
    state: Literal["completed", "failed", "pruned"] = "completed"
    metrics: dict[str, WarmValue] = {}


class WarmStart(_Request):
    """Results that the engine is told before the first trial. They count for nothing else."""

    source: str = Field(max_length=10_000, description="where they come from, for people")
    results: list[WarmResult]


class FirstTrial(_Request):
    """What the first trial is, before any is suggested."""

    parameters: Parameters
    seed: int = Field(ge=0, lt=2**32)


class CreateExperiment(_Request):
    """A new experiment."""

    specification: dict[str, Any] = Field(description="the normalised experiment file")
    bundle: str | None = Field(default=None, description="SHA-256 of the archive of the code")
    cluster: str | None = Field(default=None, description="the server's own place where it is left out")
    folder: str = Field(default="", description="where it was started, as `host:/abs/path`")
    owner: str | None = Field(default=None, description="the caller's name where it is left out")
    launch: Launch = Launch()
    secrets: dict[str, str] = Field(default={}, description="never stored with the record, never given back")
    outgoing: dict[str, str] = Field(
        default={},
        description="addresses and secrets of `notify` and `mlflow` by name, such as notify.0.url; kept like `secrets`",
    )
    warm_start: WarmStart | None = None
    first: FirstTrial | None = None


class ChangeExperiment(_Request):
    """What is left out stays as it is."""

    budget: int | None = Field(default=None, ge=1)
    parallelism: int | None = Field(default=None, ge=1)
    priority: int | None = None
    labels: dict[str, str] | None = None


class ChangeCode(_Request):
    """The code of trials that have not begun."""

    bundle: str = Field(description="SHA-256 of the archive of the code", pattern=r"^[0-9a-f]{64}$")
    launch: Launch = Field(default=Launch(), description="its folder; what is left out stays as it is")


class Pause(_Request):
    """`now` also takes back what runs, to be offered again."""

    now: bool = False


class Nothing(_Request):
    """An empty document, or no body at all."""


class QueueTrial(_Request):
    """A configuration to be tried."""

    parameters: Parameters


class Terminal(_Request):
    """One end of a terminal: `after` asks for what came from the other end; without it `data` goes there."""

    attempt: str
    data: str = Field(default="", description="bytes in base64, the first of them at place `at`", max_length=2**20)
    at: int = Field(default=0, ge=0)
    after: int | None = Field(default=None, ge=0, description="the place behind the last byte that arrived")
    wait: float = Field(default=0.0, ge=0, le=20, description="seconds in which to wait for news, or for room")
    size: list[int] | None = Field(default=None, min_length=2, max_length=2, description="rows and columns")
    over: int | None = Field(default=None, description="this end is over; of a command its exit code")


class TerminalAnswer(BaseModel):
    """`next` is the place to go on from."""

    next: int
    data: str | None = None
    over: int | None = None


class RerunTrial(_Request):
    """How a trial is repeated; what is left out is as in the first experiment."""

    continue_: bool = Field(default=False, alias="continue", description="start from the trial's checkpoint")
    launch: Launch | None = None
    secrets: dict[str, str] | None = None
    folder: str | None = None
    owner: str | None = Field(default=None, description="the caller's name where it is left out")


class ErrorBody(BaseModel):
    """What went wrong, for programs and for people."""

    code: str
    message: str
    hint: str


class Error(BaseModel):
    """The answer to everything that failed."""

    error: ErrorBody


class Reason(BaseModel):
    """A code for programs and a sentence for people."""

    code: str
    message: str


class Measured(BaseModel):
    """A value that counts."""

    value: float
    stddev: float | None


class Metric(BaseModel):
    """A declared metric."""

    name: str
    goal: Literal["maximize", "minimize"]
    take: str
    threshold: float | None
    constraint: str | None = Field(description="what a trial keeps to become the best, such as `<= 20`")
    optimized: bool


class Best(BaseModel):
    """A trial that no other one beats."""

    trial: int
    metrics: dict[str, Measured]
    parameters: Parameters
    expected: Measured | None = Field(
        description="of a noisy search: what a model expects of it in the first metric, by which it is the best; "
        "null where its value is taken as it is"
    )


class Weight(BaseModel):
    """How much a parameter matters; all of an experiment's together are 1."""

    name: str
    importance: float


class Importance(BaseModel):
    """Which parameters matter for a metric; none are listed where too few trials have completed."""

    metric: str
    trials: int = Field(description="completed ones")
    parameters: list[Weight]


class Finding(BaseModel):
    """A measured fact; `parameter` is null for one about the search as a whole."""

    code: str
    message: str
    parameter: str | None


class Explanation(BaseModel):
    """What a search shows."""

    metric: str
    trials: int
    parameters: list[Weight]
    findings: list[Finding]


class RunningTrial(BaseModel):
    """An attempt that is live."""

    trial: int
    attempt: str
    worker: str | None
    started_at: str
    parameters: Parameters


class Worker(BaseModel):
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
    came_from: str | None
    """the handle of the experiment for which it worked before"""


class Counts(BaseModel):
    """How many trials are in each state."""

    queued: int
    running: int
    completed: int
    failed: int
    pruned: int
    cancelled: int


class BegunWith(BaseModel):
    """Results from elsewhere that the engine was told before the first trial."""

    source: str
    results: int


class Asked(BaseModel):
    """What each trial takes; null: not said. `gpu_memory` in bytes."""

    cpu: float | None
    memory: int | None
    gpu: int | float
    gpu_type: str | None = None
    gpu_memory: int | None = None
    pin: bool = False


class MeasuredMemory(BaseModel):
    """What attempts took that have ended."""

    attempts: int
    peak_memory_bytes: int


class RoomForTrials(BaseModel):
    """What each trial asked for, what was measured, and what is set aside for the next one."""

    asked: Asked
    measured: MeasuredMemory | None
    set_aside: Asked


class Status(BaseModel):
    """An experiment now. `search`, `warm_start`, `running`, `resources` and `workers` are left out of lists."""

    schema_: Literal[1] = Field(alias="schema")
    id: str
    handle: str
    name: str
    owner: str
    cluster: str
    state: Literal["pending", "running", "paused", "stopping", "completed", "failed", "stopped"]
    desired: Literal["running", "paused", "stopped"]
    reason: Reason | None
    budget: int
    parallelism: int
    folds: int = Field(description="tasks of each trial; `parallelism` counts them")
    priority: int
    labels: dict[str, str]
    revision: int
    engine: str
    metrics: list[Metric]
    counts: Counts
    best: list[Best]
    search: str | None = Field(default=None, description="what the engine does now and why, for people")
    warm_start: BegunWith | None = None
    running: list[RunningTrial] | None = None
    resources: RoomForTrials | None = None
    workers: list[Worker] | None = None
    eta_seconds: float | None
    origin: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    url: str


class StatusPage(BaseModel):
    """Experiments, newest first; `next` goes into `before`."""

    items: list[Status]
    next: str | None


class Specification(BaseModel):
    """What an experiment was created with."""

    specification: dict[str, Any]
    launch: dict[str, Any]
    bundle: str | None
    revision: int
    origin: str | None


class Artifact(BaseModel):
    """A file that a trial left."""

    path: str
    digest: str
    size: int


class Attempt(BaseModel):
    """One execution of a task."""

    id: str
    task: int
    number: int
    state: str
    worker: str | None
    node: str | None
    gpus: list[str]
    exit_code: int | None
    signal: int | None
    reason: Reason | None
    started_at: str | None
    finished_at: str | None
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    raised_memory_bytes: int | None
    resumed_from: dict[str, Any] | None
    log_bytes: int | None = Field(description="of its output in all; null until it has ended")
    logs_complete: bool = Field(description="all of its output has arrived")
    tail: str | None = Field(default=None, description="the last lines of its output; not in lists")


class Task(BaseModel):
    """One fold of a trial; a trial without folds has one, whose metrics are the trial's."""

    fold: int
    state: Literal["pending", "active", "done", "failed", "cancelled"]
    metrics: dict[str, Measured]


class Trial(BaseModel):
    """A configuration and its outcome."""

    number: int
    state: Literal["queued", "running", "completed", "failed", "pruned", "cancelled"]
    reason: Reason | None
    source: str
    suggested_after: int | None = None
    parameters: Parameters
    metrics: dict[str, Measured]
    seed: int
    bundle: str | None
    revision: int
    attempts: list[Attempt]
    tasks: list[Task] | None = Field(default=None, description="one for each fold; not in lists")
    checkpoint: dict[str, Any] | None = Field(default=None, description="the newest one; not in lists")
    artifacts: list[Artifact] | None = Field(default=None, description="not in lists")
    command: str | None = Field(default=None, description="what it runs, for people; not in lists")
    created_at: str
    started_at: str | None
    finished_at: str | None


class TrialPage(BaseModel):
    """Trials by number; `next` goes into `after`."""

    items: list[Trial]
    next: int | None
    total: int | None = Field(default=None, description="how many there are, where they are sorted")


class BestSoFar(BaseModel):
    """Every step to a better value of the first metric."""

    finished: list[int] = Field(description="trials that had finished, with this one")
    number: list[int]
    value: list[float | None]
    finished_at: list[str | None]
    seconds: list[float | None] = Field(description="that all trials up to this one took together")
    all_seconds: float = Field(description="that all finished trials took together")


class Columns(BaseModel):
    """Trials by columns, in the order in which they finished; all lists are as long as `shown`."""

    total: int = Field(description="trials that fit")
    shown: int = Field(description="where fewer than all: the best ones, and every k-th of the others")
    number: list[int]
    state: list[str]
    finished_at: list[str | None]
    seconds: list[float | None]
    metrics: dict[str, list[float | None]]
    parameters: dict[str, list[bool | int | float | str | None]]
    best: BestSoFar
    front: list[int] = Field(description="the best trial, or the Pareto front")


class Hypervolume(BaseModel):
    """How much of the space between several objectives was covered, after each trial that added to it."""

    metrics: list[str] = Field(description="those that are optimized")
    reference: dict[str, float] | None = Field(
        description="where the volume begins: behind the present front by a tenth of its width, or at the median "
        "result where that is worse; null before a trial counts"
    )
    finished: list[int] = Field(description="trials that had finished, with this one")
    number: list[int]
    value: list[float] = Field(description="in the product of the metrics' units")


class Contour(BaseModel):
    """A metric over two parameters, on a grid: the mean of all completed trials, nearer ones counting more."""

    metric: str
    x: str
    y: str
    trials: int = Field(description="of which it is made")
    across: list[bool | int | float | str] = Field(description="values of `x` in the middle of each column")
    up: list[bool | int | float | str] = Field(description="values of `y` in the middle of each row")
    values: list[list[float | None]] = Field(description="row by row; null where no trial is near")


class Failures(BaseModel):
    """Trials that failed for the same reason."""

    reason: Reason
    trials: int
    newest: int


class Busy(BaseModel):
    """How many attempts ran on average in each of equal steps of time."""

    model_config = ConfigDict(populate_by_name=True)

    from_: str | None = Field(alias="from")
    step_seconds: float
    running: list[float]


class Overview(BaseModel):
    """Why trials failed, and what ran over time."""

    failures: list[Failures]
    busy: Busy


class Span(BaseModel):
    """When and where an attempt ran."""

    trial: int
    task: int
    number: int
    state: str
    worker: str | None
    node: str | None
    leased_at: str
    finished_at: str | None


class Timeline(BaseModel):
    """The newest attempts, the newest first."""

    items: list[Span]
    more: bool = Field(description="older ones are left out")


class Curve(BaseModel):
    """What an attempt reported: [step, value], the step counted where none was said."""

    trial: int
    task: int
    number: int
    state: str
    reported: int = Field(description="values in all; where these are many, every k-th and the last are given")
    points: list[tuple[float, float]]


class Curves(BaseModel):
    """What trials reported of a metric while they ran."""

    metric: str
    items: list[Curve]


class TrialCurve(BaseModel):
    """What one attempt reported of one metric."""

    task: int
    number: int
    metric: str
    reported: int = Field(description="values in all; where these are many, every k-th and the last are given")
    points: list[tuple[float, float]]


class Points(BaseModel):
    """What a trial reported while it ran."""

    items: list[TrialCurve]


class UsedByAttempt(BaseModel):
    """What one attempt used over time."""

    task: int
    number: int
    state: str
    started_at: str | None
    samples: list[tuple[float, float, float, float | None, float | None]] = Field(
        description="seconds since its start, cores, bytes of memory, share of its GPUs' time (0 to 1), bytes on them; "
        "the last two null where they are not known. Of a long attempt every k-th sample and the newest ones"
    )


class Usage(BaseModel):
    """What a trial used while it ran; attempts that were too brief to be looked at are not there."""

    items: list[UsedByAttempt]


class Invitation(BaseModel):
    """A link that lets one browser in, once."""

    path: str
    expires_at: str


class ShareExperiment(_Request):
    """A link for others."""

    name: str = Field(default="", max_length=200, description="whom it is for, for people")
    days: int = Field(default=7, ge=1, le=365, description="after which it is of no use")


class IssueToken(_Request):
    """A token for somebody."""

    name: str = Field(min_length=1, max_length=200, description="whose it is")
    role: Literal["viewer", "editor", "owner"] = "viewer"
    days: int = Field(default=90, ge=1, le=3650, description="after which it is of no use")


class Grant(BaseModel):
    """A token, or a link to one experiment."""

    id: str
    name: str
    role: Literal["guest", "viewer", "editor", "owner"]
    experiment: str | None = Field(description="handle of the one experiment that it shows; null: every one")
    made_by: str
    created_at: str
    expires_at: str


class Share(Grant):
    """A new link."""

    path: str = Field(description="what stands behind the server's address; told this once")


class IssuedToken(Grant):
    """A new token."""

    token: str = Field(description="told this once")


class Event(BaseModel):
    """Something that happened."""

    seq: int
    at: str
    actor: str
    kind: str
    data: dict[str, Any]


class EventPage(BaseModel):
    """Events in order; `next` goes into `after`."""

    items: list[Event]
    next: int


class LogChunk(BaseModel):
    """A piece of an attempt's output; `gap` counts the bytes that were dropped before it."""

    cursor: int
    trial: int
    attempt: str
    number: int
    worker: str | None
    at: str
    offset: int
    text: str
    gap: int
    last: bool = Field(description="nothing of this attempt comes after it, as far as it is known")


class LogPage(BaseModel):
    """Pieces in the order in which they arrived; `next` goes into `after`."""

    items: list[LogChunk]
    next: int


class Bundle(BaseModel):
    """An archive of code that the server has."""

    digest: str
    size: int


class CodeMember(BaseModel):
    """A file or link of the code."""

    path: str
    kind: Literal["file", "program", "link"]
    size: int
    target: str | None = Field(description="of a link")


class Code(BaseModel):
    """The files that a trial has; `bundle` and `size` are those of the archive, null where there is no code."""

    bundle: str | None
    size: int | None
    files: list[CodeMember]
    more: bool = Field(description="more of them are left out")


class CodeFile(BaseModel):
    """What one file says; `text` is null where it is none, or larger than 1 MiB."""

    path: str
    size: int
    text: str | None


class ChangedFile(BaseModel):
    """One path of the code that is different."""

    path: str
    change: Literal["added", "removed", "changed", "mode"]
    added: int | None = Field(description="lines; null where it is no text, or too large")
    removed: int | None
    diff: str | None = Field(description="unified")


class ChangedCode(BaseModel):
    """The changes of the code from the first trial to the second one."""

    bundles: list[str | None]
    files: list[ChangedFile]


class Difference(BaseModel):
    """What is different between two trials: by name the value of the first one and of the second one."""

    schema_: Literal[1] = Field(alias="schema")
    trials: list[str]
    metrics: dict[str, list[Any]]
    configuration: dict[str, list[Any]]
    environment: dict[str, list[Any]]
    code: ChangedCode


class Server(BaseModel):
    """Which server this is."""

    version: str
    protocol: Literal[1]
    home: Literal["embedded", "hosted"]
    started_at: str
    pid: int


class Amount(BaseModel):
    """Cores, bytes of memory, GPUs; null where it is not known."""

    cpu: float | None
    memory: int | None
    gpu: int | float


class SurveyedMachine(BaseModel):
    """One machine of a cluster: what it has, and who uses it (`others` null: not known)."""

    name: str
    pool: str
    has: Amount
    ours: Amount
    others: Amount | None
    trouble: str | None


class ClusterExperiment(BaseModel):
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
    pending: int = Field(description="tasks that wait for a free place")
    waiting: str | None


class GpuHolder(BaseModel):
    """A worker that has a card, or a part of it."""

    experiment: str | None
    worker: str
    part: float
    trials: list[int]


class Gpu(BaseModel):
    """One card; `holders` is null where the place does not tell who has it."""

    machine: str
    id: str
    model: str | None
    memory: int | None
    holders: list[GpuHolder] | None


class QuarantinedMachine(BaseModel):
    """A machine that gets no trials for a while."""

    node: str
    reason: str
    until: str | None


class ClusterEvent(BaseModel):
    """Something that happened to a worker or a machine."""

    at: str | None
    kind: str
    node: str
    worker: str
    message: str


class Retirement(BaseModel):
    """When a cluster that nobody uses is archived and destroyed."""

    after: float = Field(description="seconds with nothing unfinished and no worker")
    archive: str = Field(description="where records and files go first")
    idle_since: str | None
    destroys_at: str | None
    begun: bool = Field(description="nothing new is taken any more")
    trouble: str = Field(description="why it is not destroyed, although it should be; empty where it is well")


class Cluster(BaseModel):
    """The machines behind the server, and what it runs on them."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal[1] = Field(alias="schema")
    cluster: str
    clusters: list[str]
    elastic: bool
    machines: list[SurveyedMachine]
    notes: list[str]
    """what else is worth knowing of the place"""
    retirement: Retirement | None = Field(description="null: it stays until somebody destroys it")
    experiments: list[ClusterExperiment]
    gpus: list[Gpu]
    quarantined: list[QuarantinedMachine]
    events: list[ClusterEvent] = Field(description="the newest first")


class Shutdown(BaseModel):
    """The server ends once its requests are answered."""

    draining: bool


class Imported(BaseModel):
    """What became of a record that was sent."""

    experiment: str
    handle: str
    imported: bool = Field(description="false where it was here already")
    rows: dict[str, int] = Field(description="rows by table, as they were counted in what was sent")
