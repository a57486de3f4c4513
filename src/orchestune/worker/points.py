"""The values that an attempt reported and the server does not have yet."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

from orchestune.worker.metrics import Reported

MOST = 50_000
"""points that may wait; beyond it only the newest value of each name is kept up to date"""


class Points:
    """Numbers the values of each name from 0 and holds them until they are acknowledged."""

    def __init__(self, declared: Iterable[str]) -> None:
        self._declared = frozenset(declared)
        self._next: dict[str, int] = {}
        self._waiting: deque[list[Any]] = deque()
        self._last: dict[str, list[Any]] = {}
        self._deciding: list[list[Any]] = []
        self._room: int | None = None
        """how many more are taken; None: as many as come"""
        self.step: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, reported: Iterable[Reported]) -> None:
        """Take values in the order in which they were reported."""
        for name, value, step, stddev in reported:
            step = step if step is not None and math.isfinite(step) else None
            stddev = stddev if stddev is not None and math.isfinite(stddev) else None
            if step is not None:
                self.step = step
            sequence = self._next.get(name, 0)
            point = [sequence, name, value if math.isfinite(value) else _spell(value), step, stddev]
            self._last[name] = point
            if (len(self._waiting) >= MOST or self._room == 0) and sequence:
                continue
            if self._room:
                self._room -= 1
            self._next[name] = sequence + 1
            self._waiting.append(point)

    @property
    def names(self) -> Collection[str]:
        """What was reported so far."""
        return self._next.keys()

    def end(self) -> None:
        """The attempt is over. Of what it left unread as many are taken as may wait, however soon the server has them:
        a file of any size can be read, and all of it would be of use to nobody.
        """
        self._room = MOST

    def parts(self, limit: int) -> tuple[list[list[Any]], int]:
        """At most `limit` points, and how many to acknowledge once they arrived."""
        found = [self._waiting[index] for index in range(min(limit, len(self._waiting)))]
        return found, len(found)

    def acknowledge(self, count: int) -> None:
        """The server has the first `count`."""
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft()

    def close(self) -> None:
        """Nothing more comes: see to it that the last value of each name is among those that are sent."""
        for name, point in self._last.items():
            if point[0] == self._next[name]:
                self._next[name] += 1
                self._waiting.append(point)
            if isinstance(point[2], str) and name in self._declared:
                self._deciding.append(point)

    def last_words(self, sent: Iterable[list[Any]]) -> list[list[Any]]:
        """Last values that are not finite, and not among those that are `sent` with the end: they decide the trial.

        The end tells them, whatever came before it: the server keeps no such value, and some may be on their way.
        """
        told = {tuple(point[:2]) for point in sent}
        return [point for point in self._deciding if tuple(point[:2]) not in told]

    def to_json(self) -> list[list[Any]]:
        """All that wait."""
        return list(self._waiting)

    @property
    def deciding(self) -> list[list[Any]]:
        """All last words."""
        return self._deciding

    @classmethod
    def restore(cls, waiting: Iterable[list[Any]], deciding: Iterable[list[Any]]) -> Points:
        """The closed points of which these wait, with these last words."""
        points = cls(())
        points._waiting.extend(waiting)
        points._deciding += deciding
        return points


def _spell(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
