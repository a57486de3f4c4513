"""Queue of reported values that the server has not acknowledged yet."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

from orchestune.worker.metrics.scanner import Reported

MAX_POINTS = 50_000
"""maximum number of queued points; beyond it only the newest value of each name is kept"""


class PointQueue:
    """Queue of values, numbered from 0 per name and held until they are acknowledged."""

    def __init__(self, declared: Iterable[str]) -> None:
        self._declared = frozenset(declared)
        self._next: dict[str, int] = {}
        self._waiting: deque[list[Any]] = deque()
        self._last: dict[str, list[Any]] = {}
        self._deciding: list[list[Any]] = []
        self._room: int | None = None
        """number of further points accepted; None if unlimited"""
        self.step: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, reported: Iterable[Reported]) -> None:
        """Add values in the order in which they were reported."""
        for name, value, step, stddev in reported:
            step = step if step is not None and math.isfinite(step) else None
            stddev = stddev if stddev is not None and math.isfinite(stddev) else None
            if step is not None:
                self.step = step
            sequence = self._next.get(name, 0)
            point = [sequence, name, value if math.isfinite(value) else _spell(value), step, stddev]
            self._last[name] = point
            if (len(self._waiting) >= MAX_POINTS or self._room == 0) and sequence:
                continue
            if self._room:
                self._room -= 1
            self._next[name] = sequence + 1
            self._waiting.append(point)

    @property
    def names(self) -> Collection[str]:
        """Names reported so far."""
        return self._next.keys()

    def end(self) -> None:
        """Limit further points to MAX_POINTS, because the attempt has ended.

        Its remaining files may have any size, and the limit holds however fast the server acknowledges points.
        """
        self._room = MAX_POINTS

    def parts(self, limit: int) -> tuple[list[list[Any]], int]:
        """Return at most `limit` points, and their number, to acknowledge once they have arrived."""
        points = [self._waiting[index] for index in range(min(limit, len(self._waiting)))]
        return points, len(points)

    def acknowledge(self, count: int) -> None:
        """Drop the first `count` points, which the server has received."""
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft()

    def close(self) -> None:
        """Mark the values as complete, and queue the last value of each name if it was left out."""
        for name, point in self._last.items():
            if point[0] == self._next[name]:
                self._next[name] += 1
                self._waiting.append(point)
            if isinstance(point[2], str) and name in self._declared:
                self._deciding.append(point)

    def unsent_deciding(self, sent: Iterable[list[Any]]) -> list[list[Any]]:
        """Return the non-finite last values of declared metrics that are not in `sent`; they decide the trial's state.

        The final report repeats them, since the server does not store such values and earlier ones may be in flight.
        """
        sent_keys = {tuple(point[:2]) for point in sent}
        return [point for point in self._deciding if tuple(point[:2]) not in sent_keys]

    def to_json(self) -> list[list[Any]]:
        """Return all queued points."""
        return list(self._waiting)

    @property
    def deciding(self) -> list[list[Any]]:
        """All non-finite last values of declared metrics."""
        return self._deciding

    @classmethod
    def restore(cls, waiting: Iterable[list[Any]], deciding: Iterable[list[Any]]) -> PointQueue:
        """Return closed points from the values of `to_json` and `deciding`."""
        points = cls(())
        points._waiting.extend(waiting)
        points._deciding += deciding
        return points


def _spell(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
