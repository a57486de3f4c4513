"""Declared metrics, and the reduction of the values that a trial reported to one value per metric."""

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
    """Upper bound of a metric, or lower bound if `least`; a trial that violates it cannot become the best one."""

    bound: float
    least: bool

    def violation(self, value: float) -> float:
        """Return how far `value` is beyond the bound; 0 or less if it satisfies the limit."""
        return self.bound - value if self.least else value - self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {repr(self.bound).removesuffix('.0')}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Parse the text that `str` returns. Raises ValueError if the text is malformed or its bound is not finite."""
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
    """value from which on a trial counts as good enough"""
    limit: Limit | None = None
    optimized: bool = True
    """False: a constraint only; all values within `limit` are equally good, and `goal` is the direction towards them"""

    @property
    def counted(self) -> int:
        """Number of last values that `take` averages; 1 if it does not average."""
        return int(self.take.removeprefix("mean:")) if self.take.startswith("mean:") else 1

    def better(self, value: float, than: float | None) -> bool:
        """Return True if `value` is strictly better than `than`, or if `than` is None."""
        if than is None:
            return True
        return value > than if self.goal == "maximize" else value < than

    def reached(self, value: float, limit: float) -> bool:
        """Return True if `value` is at least as good as `limit`."""
        return value >= limit if self.goal == "maximize" else value <= limit

    def to_json(self) -> documents.Metric:
        """Serialize to the long form of the experiment file, with the name."""
        return {"name": self.name, "goal": self.goal, "take": self.take, "threshold": self.threshold,
                "constraint": str(self.limit) if self.limit else None, "optimized": self.optimized}  # fmt: skip

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Metric:
        """Parse the output of `to_json`."""
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
    """Return the optimized metrics; they precede the others in every list of metrics."""
    return tuple(metric for metric in metrics if metric.optimized)


def aimed(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics as an engine gets them: with several objectives each threshold becomes a limit.

    The engine then searches the part of the Pareto front beyond the thresholds. Only the engine sees these limits; the
    reported front is that of all trials. A single objective is left as it is, since engines improve it in any case.
    """
    if len(objectives(metrics)) < 2:
        return tuple(metrics)
    return tuple(
        metric if metric.threshold is None or not metric.optimized else replace(metric, limit=_tighter(metric))
        for metric in metrics
    )


def _tighter(metric: Metric) -> Limit:
    """Return the tighter of threshold and limit; a limit in the opposite direction is kept as it is."""
    assert metric.threshold is not None
    least, limit = metric.goal == "maximize", metric.limit
    if limit is None:
        return Limit(metric.threshold, least)
    if limit.least != least:
        return limit
    return Limit((max if least else min)(metric.threshold, limit.bound), least)


def excesses(metrics: Sequence[Metric], values: Mapping[str, float]) -> tuple[float, ...]:
    """Return the violation of each limit: 0 or less if satisfied, infinite if the value is absent or not finite."""
    return tuple(
        metric.limit.violation(values[metric.name]) if math.isfinite(values.get(metric.name, math.nan)) else math.inf
        for metric in metrics
        if metric.limit is not None
    )


def feasible(metrics: Sequence[Metric], values: Mapping[str, float]) -> bool:
    """Return True if every limit is satisfied."""
    return all(excess <= 0 for excess in excesses(metrics, values))


FIRST_HTTP_SEQUENCE = 1_000_000_000
"""First sequence number of points that trials report over HTTP, above the range that workers count in."""


def storable(number: float | None) -> float | None:
    """Return a step or standard deviation in a form that the store accepts; None if it is not finite.

    Integers beyond the databases' 64 bits become floating-point numbers.
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
    """One reported value of a metric; `sequence` numbers the points of one attempt and metric."""

    name: str
    value: float
    step: float | None = None
    stddev: float | None = None
    sequence: int = 0


@dataclass(frozen=True)
class ReducedMetric:
    """Reduced value of a metric for one trial or attempt."""

    value: float
    stddev: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Serialize to `{"value", "stddev"}`."""
        return {"value": self.value, "stddev": self.stddev}


def reduce(metric: Metric | None, points: Sequence[Point]) -> ReducedMetric:
    """Reduce `points` (at least one, in reporting order) by `take`; an undeclared metric (None) takes the last one."""
    if metric and metric.take == "best":
        finite = [point for point in points if math.isfinite(point.value)]
        best = (max if metric.goal == "maximize" else min)(finite or points, key=lambda point: point.value)
        return ReducedMetric(best.value, best.stddev)
    if metric and metric.take.startswith("mean:"):
        # like the server: a value that is not finite counts only if it is the last one
        last = points[-1]
        values = [point.value for point in points if point is last or math.isfinite(point.value)]
        return averaged(values[-metric.counted :])
    return ReducedMetric(points[-1].value, points[-1].stddev)


def averaged(values: Sequence[float]) -> ReducedMetric:
    """Return the mean, and the sample standard deviation of two or more values.

    The sum or the squares of very large finite values may overflow; mean and deviation are finite all the same.
    """
    if not all(map(math.isfinite, values)):
        return ReducedMetric(sum(values) / len(values))
    mean = mean_of(values)
    if len(values) == 1:
        return ReducedMetric(mean)
    if min(values) == max(values):
        return ReducedMetric(values[0], 0.0)  # the computed mean may differ in its last bit
    try:
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    except OverflowError:
        spread = math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)
    return ReducedMetric(mean, min(spread, sys.float_info.max))


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of finite values, which is finite even if their sum overflows."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def pareto_front(metrics: Sequence[Metric], trials: Sequence[tuple[int, Mapping[str, float]]]) -> list[int]:
    """Return the sorted numbers of the trials that are not dominated; with one objective, the best trial alone.

    Of trials with equal values only the first counts, and only trials that satisfy every limit.
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
    # Trials are sorted by their first loss, so that an earlier one dominates a later one if it is as good in the rest:
    # `least` is the front of these remaining losses.
    least: list[Sequence[float]] = []
    for number, (_, *rest) in points:
        if not any(map(_as_good, least, repeat(rest))):
            front.append(number)
            least = [other for other in least if not _as_good(rest, other)] + [rest]
    return sorted(front)


def _as_good(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(map(operator.le, one, other))
