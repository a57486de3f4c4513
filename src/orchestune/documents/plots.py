"""The data behind plots."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from orchestune.documents.experiments import Reason


class BestSoFar(TypedDict):
    """Every step to a better value of one metric."""

    finished: Annotated[list[int], Field(description="number of finished trials, including this one")]
    number: list[int]
    value: list[float | None]
    finished_at: list[str | None]
    seconds: Annotated[list[float | None], Field(description="total of all trials up to this one")]
    all_seconds: Annotated[float, Field(description="total of all finished trials")]


class Columns(TypedDict):
    """Trials by columns, in the order in which they finished; all lists are as long as `shown`."""

    total: Annotated[int, Field(description="number of matching trials")]
    shown: Annotated[int, Field(description="if fewer than `total`: the best ones, and every k-th of the others")]
    number: list[int]
    state: list[str]
    finished_at: list[str | None]
    seconds: list[float | None]
    metrics: dict[str, list[float | None]]
    parameters: dict[str, list[bool | int | float | str | None]]
    best: BestSoFar
    front: Annotated[list[int], Field(description="the best trial, or the Pareto front")]


class Hypervolume(TypedDict):
    """The dominated hypervolume of several objectives, after each trial that increased it."""

    metrics: Annotated[list[str], Field(description="the optimized ones")]
    reference: Annotated[
        dict[str, float] | None,
        Field(
            description="reference point: behind the present front by a tenth of its width, or at the median "
            "result if that is worse; null before a trial counts"
        ),
    ]
    finished: Annotated[list[int], Field(description="number of finished trials, including this one")]
    number: list[int]
    value: Annotated[list[float], Field(description="in the product of the metrics' units")]


class Contour(TypedDict):
    """A metric over two parameters, on a grid: the mean of all completed trials, nearer ones counting more."""

    metric: str
    x: str
    y: str
    trials: Annotated[int, Field(description="number of trials that it is computed from")]
    across: Annotated[list[bool | int | float | str], Field(description="values of `x` in the middle of each column")]
    up: Annotated[list[bool | int | float | str], Field(description="values of `y` in the middle of each row")]
    values: Annotated[list[list[float | None]], Field(description="row by row; null if no trial is near")]


class Failures(TypedDict):
    """Trials that failed for the same reason."""

    reason: Reason
    trials: int
    newest: int


Busy = TypedDict("Busy", {"from": str | None, "step_seconds": float, "running": list[float]})


class Overview(TypedDict):
    """The reasons of failed trials, and the number of running attempts over time."""

    failures: list[Failures]
    busy: Annotated[Busy, Field(description="average number of running attempts in each of equal time steps")]


class Span(TypedDict):
    """Time and place of an attempt."""

    trial: int
    fold: int
    attempt_number: int
    state: str
    worker: str | None
    node: str | None
    leased_at: str
    finished_at: str | None


class Timeline(TypedDict):
    """The newest attempts, newest first."""

    items: list[Span]
    more: Annotated[bool, Field(description="older ones are omitted")]


class Curve(TypedDict):
    """The reported values of an attempt as [step, value]; steps are counted if none were reported."""

    trial: int
    fold: int
    attempt_number: int
    state: str
    reported: Annotated[int, Field(description="number of all values; of many, `points` has every k-th and the last")]
    points: list[tuple[float, float]]


class Curves(TypedDict):
    """The values of a metric that trials reported while they ran."""

    metric: str
    items: list[Curve]
