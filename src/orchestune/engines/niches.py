"""Searches in the other valleys of a loss, one after the other, for a search that finds nothing better where it is.

It may lie in the second best of several. What a model expects of the others it expects from the few results there, and
none of these alone promises to beat the best; a search that has only to beat what lies around it comes to the bottom of
each (sequential niches: Beasley, Bull and Martin, 1993).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestune.engines.cube import Flags, Floats
from orchestune.engines.kernel import distances, matern

_RESULTS = 20
"""in a niche after the last that was better there: it ends"""
_FREE = 0.7
"""the correlation with every place that was left which a niche begins below"""
_THERE = 0.95
"""with one of them: the niche has led back"""
_MOST_LEFT = 60
"""places; those that were left longest ago may be entered again"""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a result is known."""

    point: Floats
    """NaN where inactive"""
    features: Floats
    loss: float


class Niches:
    """The niche that is searched: what is more like its best place than like any that was left.

    Places are as alike as the process took them for when the first niche began.
    """

    def __init__(self, numeric: Flags) -> None:
        self._numeric = numeric
        self._weights = np.ones(len(numeric))
        self._left: deque[Floats] = deque(maxlen=_MOST_LEFT)
        self._entrance = np.empty(0)
        self._since = 0
        self.best: Place | None = None
        """the best place of the niche; None while none is searched"""

    def begin(self, weights: Floats, known: Sequence[Place]) -> None:
        """Leave the best of `known`, and enter the niche of the best that is unlike it."""
        self._weights = weights
        self._left.append(min(known, key=lambda place: place.loss).features)
        self.enter(known)

    def enter(self, known: Sequence[Place]) -> None:
        """The niche of the best that is unlike all that was left; none where there is no such place."""
        alike = self._alike(np.stack([place.features for place in known]), np.stack(self._left)).max(axis=1)
        free = [place for place, most in zip(known, alike, strict=True) if most < _FREE]
        self.best = min(free, key=lambda place: place.loss, default=None)
        self._since = 0
        if self.best is not None:
            self._entrance = self.best.features

    def leave(self) -> None:
        """Search none any more."""
        self.best = None

    def add(self, place: Place, worth: float) -> bool:
        """One more result, wherever it lies; whether the niche ended with it. `worth`: the least that is better."""
        if self.best is None or not self.holds(place.features[None])[0]:
            return False
        self._since += 1
        if place.loss < self.best.loss:
            self._since = 0 if place.loss < self.best.loss - worth else self._since
            self.best = place
        back = self._alike(self.best.features[None], np.stack(self._left)).max() > _THERE
        if self._since < _RESULTS and not back:
            return False
        self._left.extend((self._entrance, self.best.features))
        self.best = None
        return True

    def holds(self, features: Floats) -> Flags:
        """Which of the places are in the niche."""
        assert self.best is not None
        here = self._alike(features, self.best.features[None])[:, 0]
        found: Flags = here > self._alike(features, np.stack(self._left)).max(axis=1)
        return found

    def _alike(self, one: Floats, other: Floats) -> Floats:
        return matern(distances(one, other, self._numeric, self._weights))
