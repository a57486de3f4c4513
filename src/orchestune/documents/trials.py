"""Trials, their attempts, and their files."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from orchestune.documents.experiments import Measured, Parameters, Reason

TrialState = Literal["queued", "running", "completed", "failed", "pruned", "cancelled"]
FoldState = Literal["pending", "active", "done", "failed", "cancelled"]


class Artifact(TypedDict):
    """A file that a trial produced."""

    path: str
    digest: str
    size: int


class ResumedFrom(TypedDict):
    """The attempt from whose checkpoint an attempt resumed, and the step of that checkpoint if known."""

    attempt: str
    step: float | None


class Checkpoint(TypedDict):
    """A checkpoint to resume from: the attempt that published it, its SHA-256, and its step if known."""

    attempt: str
    digest: str
    step: float | None


class Attempt(TypedDict):
    """One execution of a fold."""

    id: str
    fold: int
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
    resumed_from: ResumedFrom | None
    log_bytes: Annotated[int | None, Field(description="total size of its output; null until it has ended")]
    logs_complete: Annotated[bool, Field(description="all of its output has been received")]
    tail: NotRequired[Annotated[str | None, Field(description="log tail; in lists only with `tails`")]]


class Fold(TypedDict):
    """One fold of a trial; a trial without folds has one, whose metrics are the trial's."""

    fold: int
    state: FoldState
    metrics: dict[str, Measured]


class Trial(TypedDict):
    """A configuration and its outcome."""

    number: int
    state: TrialState
    reason: Reason | None
    source: str
    suggested_after: NotRequired[int | None]
    parameters: Parameters
    metrics: dict[str, Measured]
    seed: int
    bundle: str | None
    revision: int
    attempts: list[Attempt]
    folds: NotRequired[Annotated[list[Fold], Field(description="not in lists")]]
    checkpoint: NotRequired[Annotated[Checkpoint | None, Field(description="the newest one; not in lists")]]
    artifacts: NotRequired[Annotated[list[Artifact], Field(description="not in lists")]]
    command: NotRequired[Annotated[str | None, Field(description="the command that it runs, for people; not in lists")]]
    created_at: str
    started_at: str | None
    finished_at: str | None


class TrialPage(TypedDict):
    """Trials by number; pass `next` as `after`."""

    items: list[Trial]
    next: int | None
    total: NotRequired[Annotated[int | None, Field(description="total number, if they are sorted")]]


class TrialCurve(TypedDict):
    """The values of one metric that one attempt reported."""

    fold: int
    attempt_number: int
    metric: str
    reported: Annotated[int, Field(description="number of all values; of many, `points` has every k-th and the last")]
    points: list[tuple[float, float]]


class Points(TypedDict):
    """The values that a trial reported while it ran."""

    items: list[TrialCurve]


class UsedByAttempt(TypedDict):
    """The resource usage of one attempt over time."""

    fold: int
    attempt_number: int
    state: str
    started_at: str | None
    samples: Annotated[
        list[tuple[float, float, float, float | None, float | None]],
        Field(
            description="seconds since its start, cores, bytes of memory, share of its GPUs' time (0 to 1), bytes on "
            "them; the last two null if unknown. Of a long attempt every k-th sample and the newest ones"
        ),
    ]


class Usage(TypedDict):
    """The resource usage of a trial; attempts too brief to be sampled are absent."""

    items: list[UsedByAttempt]


class LogChunk(TypedDict):
    """A chunk of an attempt's output; `gap` is the number of bytes dropped before it."""

    cursor: int
    trial: int
    fold: Annotated[int | None, Field(description="from 0; null if trials have no folds")]
    attempt: str
    attempt_number: int
    worker: str | None
    at: str
    offset: int
    text: str
    gap: int
    last: Annotated[bool, Field(description="last chunk of this attempt, as far as known")]


class LogPage(TypedDict):
    """Chunks in order of arrival; pass `next` as `after`."""

    items: list[LogChunk]
    next: int


class TerminalAnswer(TypedDict):
    """`next` is the cursor to continue from; `size` is that of the user's window, for the trial's side."""

    next: int
    data: NotRequired[str]
    over: NotRequired[int | None]
    size: NotRequired[list[int] | None]


class ShouldStop(TypedDict):
    """True if the trial should stop now, and why."""

    stop: bool
    reason: Reason | None
