"""The data behind plots."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from orchestune.documents.experiments import Reason


class BestSoFar(TypedDict):
    """Every step to a better value of one metric."""

    finished: Annotated[list[int], Field(description="trials that had finished, with this one")]
    number: list[int]
    value: list[float | None]
    finished_at: list[str | None]
    seconds: Annotated[list[float | None], Field(description="that all trials up to this one took together")]
    all_seconds: Annotated[float, Field(description="that all finished trials took together")]


class Columns(TypedDict):
    """Trials by columns, in the order in which they finished; all lists are as long as `shown`."""

    total: Annotated[int, Field(description="trials that fit")]
    shown: Annotated[int, Field(description="where fewer than all: the best ones, and every k-th of the others")]
    number: list[int]
    state: list[str]
    finished_at: list[str | None]
    seconds: list[float | None]
    metrics: dict[str, list[float | None]]
    parameters: dict[str, list[bool | int | float | str | None]]
    best: BestSoFar
    front: Annotated[list[int], Field(description="the best trial, or the Pareto front")]


class Hypervolume(TypedDict):
    """How much of the space between several objectives was covered, after each trial that added to it."""

    metrics: Annotated[list[str], Field(description="those that are optimized")]
    reference: Annotated[
        dict[str, float] | None,
        Field(
            description="where the volume begins: behind the present front by a tenth of its width, or at the median "
            "result where that is worse; null before a trial counts"
        ),
    ]
    finished: Annotated[list[int], Field(description="trials that had finished, with this one")]
    number: list[int]
    value: Annotated[list[float], Field(description="in the product of the metrics' units")]


class Contour(TypedDict):
    """A metric over two parameters, on a grid: the mean of all completed trials, nearer ones counting more."""

    metric: str
    x: str
    y: str
    trials: Annotated[int, Field(description="of which it is made")]
    across: Annotated[list[bool | int | float | str], Field(description="values of `x` in the middle of each column")]
    up: Annotated[list[bool | int | float | str], Field(description="values of `y` in the middle of each row")]
    values: Annotated[list[list[float | None]], Field(description="row by row; null where no trial is near")]


class Failures(TypedDict):
    """Trials that failed for the same reason."""

    reason: Reason
    trials: int
    newest: int


Busy = TypedDict("Busy", {"from": str | None, "step_seconds": float, "running": list[float]})


class Overview(TypedDict):
    """Why trials failed, and what ran over time."""

    failures: list[Failures]
    busy: Annotated[Busy, Field(description="how many attempts ran on average in each of equal steps of time")]


class Span(TypedDict):
    """When and where an attempt ran."""

    trial: int
    fold: int
    attempt_number: int
    state: str
    worker: str | None
    node: str | None
    leased_at: str
    finished_at: str | None


class Timeline(TypedDict):
    """The newest attempts, the newest first."""

    items: list[Span]
    more: Annotated[bool, Field(description="older ones are left out")]


class Curve(TypedDict):
    """What an attempt reported: [step, value], the step counted where none was said."""

    trial: int
    fold: int
    attempt_number: int
    state: str
    reported: Annotated[
        int, Field(description="values in all; where these are many, every k-th and the last are given")
    ]
    points: list[tuple[float, float]]


class Curves(TypedDict):
    """What trials reported of a metric while they ran."""

    metric: str
    items: list[Curve]
