"""What an experiment measures, and how the values that a trial reported become one."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from orchestune import documents

Goal = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Limit:
    """What a value must not exceed, or (`least`) not fall below, so that its trial may become the best one."""

    bound: float
    least: bool

    def excess(self, value: float) -> float:
        """By how much `value` is on the wrong side; 0 or less where it is not."""
        return self.bound - value if self.least else value - self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {repr(self.bound).removesuffix('.0')}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """The inverse of `str`. ValueError."""
        sign, number = text.strip()[:2], text.strip()[2:]
        if sign not in ("<=", ">=") or not math.isfinite(float(number)):
            raise ValueError(text)
        return cls(float(number), sign == ">=")


@dataclass(frozen=True)
class Metric:
    """A declared metric. `take` is `last`, `best` or `mean:K` (the mean of the last K values)."""

    name: str
    goal: Goal
    take: str = "last"
    threshold: float | None = None
    """from which value on a trial is good enough"""
    limit: Limit | None = None
    optimized: bool = True
    """False: it has a limit, and is as good as any within it; `goal` says which way that lies"""

    @property
    def counted(self) -> int:
        """How many of the last values `take` makes the mean of; 1 where it makes none."""
        return int(self.take.removeprefix("mean:")) if self.take.startswith("mean:") else 1

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` is strictly better than `than`."""
        if than is None:
            return True
        return value > than if self.goal == "maximize" else value < than

    def reached(self, value: float, limit: float) -> bool:
        """Whether `value` is at least as good as `limit`."""
        return value >= limit if self.goal == "maximize" else value <= limit

    def to_json(self) -> documents.Metric:
        """The long spelling of the experiment file, with the name."""
        return {"name": self.name, "goal": self.goal, "take": self.take, "threshold": self.threshold,
                "constraint": str(self.limit) if self.limit else None, "optimized": self.optimized}  # fmt: skip

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Metric:
        """The inverse of `to_json`."""
        limit = document.get("constraint")
        return cls(
            document["name"],
            document["goal"],
            document.get("take", "last"),
            document.get("threshold"),
            Limit.parse(limit) if limit else None,
            document.get("optimized", True),
        )


def objectives(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Those that are optimized; they stand before the others."""
    return tuple(metric for metric in metrics if metric.optimized)


def aimed(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The metrics as an engine is to see them: of several objectives the front beyond the thresholds is searched.

    A threshold is a limit to the engine alone; the front is that of all trials. One objective is improved anyway.
    """
    if len(objectives(metrics)) < 2:
        return tuple(metrics)
    return tuple(
        metric if metric.threshold is None or not metric.optimized else replace(metric, limit=_tighter(metric))
        for metric in metrics
    )


def _tighter(metric: Metric) -> Limit:
    """The threshold or the limit; a limit on the other side, which no threshold can stand for, stays."""
    assert metric.threshold is not None
    least, limit = metric.goal == "maximize", metric.limit
    if limit is None:
        return Limit(metric.threshold, least)
    if limit.least != least:
        return limit
    return Limit((max if least else min)(metric.threshold, limit.bound), least)


def excesses(metrics: Sequence[Metric], values: Mapping[str, float]) -> tuple[float, ...]:
    """By how much each limit is exceeded, 0 or less where it is kept; infinite where there is no value."""
    return tuple(
        metric.limit.excess(values[metric.name]) if math.isfinite(values.get(metric.name, math.nan)) else math.inf
        for metric in metrics
        if metric.limit is not None
    )


def feasible(metrics: Sequence[Metric], values: Mapping[str, float]) -> bool:
    """Whether every limit is kept."""
    return all(excess <= 0 for excess in excesses(metrics, values))


HTTP_SEQUENCE = 1_000_000_000
"""Points that trials report by HTTP are numbered from here, out of the way of those that workers count."""


def storable(number: float | None) -> float | None:
    """Return a step or standard deviation as the store can keep it; None if it is not finite.

    Whole numbers beyond the databases' 64 bits become floating-point numbers.
    """
    if number is None:
        return None
    try:
        rounded = float(number)
    except OverflowError:
        return None
    if not math.isfinite(rounded):
        return None
    return number if isinstance(number, int) and abs(rounded) < 2.0**63 else rounded


@dataclass(frozen=True)
class Point:
    """One value that a trial reported; `sequence` counts the points of one attempt and metric."""

    name: str
    value: float
    step: float | None = None
    stddev: float | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Measured:
    """The value of a metric that counts for a trial."""

    value: float
    stddev: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """`{"value", "stddev"}`."""
        return {"value": self.value, "stddev": self.stddev}


def reduce(metric: Metric | None, points: Sequence[Point]) -> Measured:
    """What counts of `points` (at least one, in the order reported); an undeclared metric takes its last value."""
    if metric and metric.take == "best":
        finite = [point for point in points if math.isfinite(point.value)]
        best = (max if metric.goal == "maximize" else min)(finite or points, key=lambda point: point.value)
        return Measured(best.value, best.stddev)
    if metric and metric.take.startswith("mean:"):
        last = points[-1]  # as the server keeps them: what is not finite counts where nothing came after it
        kept = [point.value for point in points if point is last or math.isfinite(point.value)]
        return averaged(kept[-metric.counted :])
    return Measured(points[-1].value, points[-1].stddev)


def averaged(values: Sequence[float]) -> Measured:
    """The mean, and the sample standard deviation of two and more.

    Of any numbers: the sum or the squares of what diverges may be none, and its mean is finite all the same.
    """
    if not all(map(math.isfinite, values)):
        return Measured(sum(values) / len(values))
    mean = mean_of(values)
    if len(values) == 1:
        return Measured(mean)
    if min(values) == max(values):
        return Measured(values[0], 0.0)  # which the mean may miss by its last bit
    try:
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    except OverflowError:
        spread = math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)
    return Measured(mean, min(spread, sys.float_info.max))


def mean_of(values: Sequence[float]) -> float:
    """The mean of finite values, which is finite."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def pareto_front(metrics: Sequence[Metric], trials: Sequence[tuple[int, Mapping[str, float]]]) -> list[int]:
    """The numbers of the trials that no other one dominates, of equal ones the first; with one metric the best alone.

    Only trials that keep every limit count.
    """
    trials = [(number, values) for number, values in trials if feasible(metrics, values)]
    metrics = objectives(metrics)
    points = [
        (number, tuple(values[m.name] if m.goal == "minimize" else -values[m.name] for m in metrics))
        for number, values in trials
        if all(m.name in values and math.isfinite(values[m.name]) for m in metrics)
    ]
    points.sort(key=lambda item: (item[1], item[0]))
    front: list[int] = []
    least: list[Sequence[float]] = []  # of the losses behind the first, in which a trial is as good as those after it
    for number, (_, *rest) in points:
        if not any(map(_as_good, least, repeat(rest))):
            front.append(number)
            least = [other for other in least if not _as_good(rest, other)] + [rest]
    return sorted(front)


def _as_good(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(map(operator.le, one, other))
