"""What an experiment measures, and how the values that a trial reported become one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Goal = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """A declared metric. `take` is `last`, `best` or `mean:K` (the mean of the last K values)."""

    name: str
    goal: Goal
    take: str = "last"
    threshold: float | None = None

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` is strictly better than `than`."""
        if than is None:
            return True
        return value > than if self.goal == "maximize" else value < than

    def reached(self, value: float, limit: float) -> bool:
        """Whether `value` is at least as good as `limit`."""
        return value >= limit if self.goal == "maximize" else value <= limit

    def to_json(self) -> dict[str, Any]:
        """The long spelling of the experiment file, with the name."""
        return {"name": self.name, "goal": self.goal, "take": self.take, "threshold": self.threshold}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Metric:
        """The inverse of `to_json`."""
        return cls(document["name"], document["goal"], document.get("take", "last"), document.get("threshold"))


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
    take = metric.take if metric else "last"
    if metric and take == "best":
        finite = [point for point in points if math.isfinite(point.value)]
        best = (max if metric.goal == "maximize" else min)(finite or points, key=lambda point: point.value)
        return Measured(best.value, best.stddev)
    if take.startswith("mean:"):
        tail = [point.value for point in points[-int(take.removeprefix("mean:")) :]]
        mean = sum(tail) / len(tail)
        spread = math.sqrt(sum((value - mean) ** 2 for value in tail) / (len(tail) - 1)) if len(tail) > 1 else None
        return Measured(mean, spread)
    return Measured(points[-1].value, points[-1].stddev)


def pareto_front(metrics: Sequence[Metric], trials: Sequence[tuple[int, Mapping[str, float]]]) -> list[int]:
    """The numbers of the trials that no other one dominates (with one metric: the best, the earliest of equals)."""
    points = [
        (number, tuple(values[m.name] if m.goal == "minimize" else -values[m.name] for m in metrics))
        for number, values in trials
        if all(m.name in values and math.isfinite(values[m.name]) for m in metrics)
    ]
    points.sort(key=lambda item: (item[1], item[0]))
    front: list[tuple[int, tuple[float, ...]]] = []
    for number, point in points:
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for _, other in front):
            front.append((number, point))
    return sorted(number for number, _ in front)
