"""Selection of the part of a long history that a model uses."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from orchestune.engines.models.dominance import dominator_counts

T = TypeVar("T")
Losses = Sequence[float]

_RECENT_RESULTS = 25


class History(Generic[T]):
    """At most `limit` of the entries added: the best, the most recent, and a uniform sample of the rest.

    The selection is a function of the sequence of entries only, not of the times of reading. Other entries are dropped.
    The best are those from which TPE builds its model of good configurations (a tenth, with one metric at most 25), so
    that this model equals the one of the whole history; the density of all others is estimated from the sample. With
    several metrics the best are those that the fewest others dominate.
    """

    def __init__(self, limit: int, objectives: int) -> None:
        self._elite = math.ceil(limit / 10) if objectives > 1 else min(math.ceil(limit / 10), 25)
        self._recent: deque[tuple[int, T]] = deque(maxlen=min(_RECENT_RESULTS, limit // 4))
        self._rest = limit - self._elite - (self._recent.maxlen or 0)
        self._sample: list[tuple[int, int, T]] = []  # heap, largest random key first
        self._best: list[tuple[Losses, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        """Return the number of entries added."""
        return self._count

    def add(self, entry: T, losses: Losses | None) -> None:
        """Append an entry; `losses` (smaller is better) are None for an entry that must not count as good."""
        index = self._count
        self._count += 1
        self._recent.append((index, entry))
        item = (-_random_key(index), index, entry)
        if len(self._sample) < self._rest:
            heapq.heappush(self._sample, item)
        else:
            heapq.heappushpop(self._sample, item)
        if losses is not None:
            self._best.append((losses, index, entry))
            if len(self._best) > 2 * self._elite:
                self._best = best(self._best, self._elite)

    def window(self) -> list[tuple[int, T]]:
        """Return the selected entries in order, each with its index in the whole history."""
        selected = dict(self._recent)
        selected |= {index: entry for _, index, entry in self._sample}
        selected |= {index: entry for _, index, entry in best(self._best, self._elite)}
        return sorted(selected.items())


def best(entries: list[tuple[Losses, int, T]], count: int) -> list[tuple[Losses, int, T]]:
    """Return the `count` best entries: with one loss the smallest, ties by age; with several the least dominated."""
    if len(entries) <= count:
        return entries
    if len(entries[0][0]) == 1:
        return heapq.nsmallest(count, entries, key=lambda entry: (entry[0][0], entry[1]))
    counts = dominator_counts(np.array([losses for losses, _, _ in entries], float)).tolist()
    order = sorted((counts[place], _random_key(index), place) for place, (_, index, _) in enumerate(entries))
    return [entries[place] for _, _, place in order[:count]]


def _random_key(index: int) -> int:
    """Return a pseudorandom number of an index (finalizer of splitmix64): the lowest ones are a uniform sample."""
    value = (index + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1)
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
    value = (value ^ value >> 27) * 0x94D049BB133111EB & (2**64 - 1)
    return value ^ value >> 31
