"""Trials, their attempts, and what these left."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from orchestune.documents.experiments import Measured, Parameters, Reason

TrialState = Literal["queued", "running", "completed", "failed", "pruned", "cancelled"]
FoldState = Literal["pending", "active", "done", "failed", "cancelled"]


class Artifact(TypedDict):
    """A file that a trial left."""

    path: str
    digest: str
    size: int


class ResumedFrom(TypedDict):
    """The attempt whose checkpoint an attempt began with, and the step of that checkpoint if it is known."""

    attempt: str
    step: float | None


class Checkpoint(TypedDict):
    """What a trial may resume from: the attempt that published it, its SHA-256, and its step if it is known."""

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
    log_bytes: Annotated[int | None, Field(description="of its output in all; null until it has ended")]
    logs_complete: Annotated[bool, Field(description="all of its output has arrived")]
    tail: NotRequired[
        Annotated[str | None, Field(description="the last lines of its output; in lists with `tails` alone")]
    ]


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
    command: NotRequired[Annotated[str | None, Field(description="what it runs, for people; not in lists")]]
    created_at: str
    started_at: str | None
    finished_at: str | None


class TrialPage(TypedDict):
    """Trials by number; `next` goes into `after`."""

    items: list[Trial]
    next: int | None
    total: NotRequired[Annotated[int | None, Field(description="how many there are, where they are sorted")]]


class TrialCurve(TypedDict):
    """What one attempt reported of one metric."""

    fold: int
    attempt_number: int
    metric: str
    reported: Annotated[
        int, Field(description="values in all; where these are many, every k-th and the last are given")
    ]
    points: list[tuple[float, float]]


class Points(TypedDict):
    """What a trial reported while it ran."""

    items: list[TrialCurve]


class UsedByAttempt(TypedDict):
    """What one attempt used over time."""

    fold: int
    attempt_number: int
    state: str
    started_at: str | None
    samples: Annotated[
        list[tuple[float, float, float, float | None, float | None]],
        Field(
            description="seconds since its start, cores, bytes of memory, share of its GPUs' time (0 to 1), bytes on "
            "them; the last two null where they are not known. Of a long attempt every k-th sample and the newest ones"
        ),
    ]


class Usage(TypedDict):
    """What a trial used while it ran; attempts that were too brief to be looked at are not there."""

    items: list[UsedByAttempt]


class LogChunk(TypedDict):
    """A piece of an attempt's output; `gap` counts the bytes that were dropped before it."""

    cursor: int
    trial: int
    fold: Annotated[int | None, Field(description="from 0; null where trials have no folds")]
    attempt: str
    attempt_number: int
    worker: str | None
    at: str
    offset: int
    text: str
    gap: int
    last: Annotated[bool, Field(description="nothing of this attempt comes after it, as far as it is known")]


class LogPage(TypedDict):
    """Pieces in the order in which they arrived; `next` goes into `after`."""

    items: list[LogChunk]
    next: int


class TerminalAnswer(TypedDict):
    """`next` is the place to go on from; `size` is that of the user's window, for the trial's end."""

    next: int
    data: NotRequired[str]
    over: NotRequired[int | None]
    size: NotRequired[list[int] | None]


class ShouldStop(TypedDict):
    """True if the trial should end now, and why."""

    stop: bool
    reason: Reason | None
