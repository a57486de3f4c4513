"""The part of a long history that a model is made of."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from orchestune.engines.dominance import beaten

T = TypeVar("T")
Losses = Sequence[float]

_RECENT = 25


class History(Generic[T]):
    """At most `limit` of the entries added: the best, the most recent, and an even selection of the rest.

    What is kept is a function of the sequence of entries alone, whenever somebody looks at it. Entries that are no
    longer needed are forgotten. The best are those that TPE makes its model of good configurations of (a tenth, with
    one metric at most 25), so that this model is the one of the whole history; the other model, a density over all
    the rest, is estimated from the selection. With several metrics the best are those that the fewest others dominate.
    """

    def __init__(self, limit: int, objectives: int) -> None:
        self._elite = math.ceil(limit / 10) if objectives > 1 else min(math.ceil(limit / 10), 25)
        self._recent: deque[tuple[int, T]] = deque(maxlen=min(_RECENT, limit // 4))
        self._rest = limit - self._elite - (self._recent.maxlen or 0)
        self._sample: list[tuple[int, int, T]] = []  # a heap, the largest mark first
        self._best: list[tuple[Losses, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        """How many entries were added."""
        return self._count

    def add(self, entry: T, losses: Losses | None) -> None:
        """Append an entry; `losses` (smaller is better) are None for one that cannot be good."""
        index = self._count
        self._count += 1
        self._recent.append((index, entry))
        item = (-_mark(index), index, entry)
        if len(self._sample) < self._rest:
            heapq.heappush(self._sample, item)
        else:
            heapq.heappushpop(self._sample, item)
        if losses is not None:
            self._best.append((losses, index, entry))
            if len(self._best) > 2 * self._elite:
                self._best = best(self._best, self._elite)

    def window(self) -> list[tuple[int, T]]:
        """What is kept, each entry with its index in the whole history, in order."""
        kept = dict(self._recent)
        kept |= {index: entry for _, index, entry in self._sample}
        kept |= {index: entry for _, index, entry in best(self._best, self._elite)}
        return sorted(kept.items())


def best(entries: list[tuple[Losses, int, T]], count: int) -> list[tuple[Losses, int, T]]:
    """The `count` best of `entries`: with one loss the smallest, the earliest of equals."""
    if len(entries) <= count:
        return entries
    if len(entries[0][0]) == 1:
        return heapq.nsmallest(count, entries, key=lambda entry: (entry[0][0], entry[1]))
    counts = beaten(np.array([losses for losses, _, _ in entries], float)).tolist()
    order = sorted((counts[place], _mark(index), place) for place, (_, index, _) in enumerate(entries))
    return [entries[place] for _, _, place in order[:count]]


def _mark(index: int) -> int:
    """A number that orders indices as if at random (the finalizer of splitmix64), so that the lowest are a sample."""
    value = (index + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1)
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
    value = (value ^ value >> 27) * 0x94D049BB133111EB & (2**64 - 1)
    return value ^ value >> 31
