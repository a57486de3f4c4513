"""Sequential niching: searches other local minima one after the other when a search is stalled.

The stalled search may be in the second best of several basins. From its few results in the others a model does not
expect to beat the incumbent there; a search that only has to beat results in its own niche finds the minimum of each
(sequential niches: Beasley, Bull and Martin, 1993).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestune.engines.models.cube import Flags, Floats
from orchestune.engines.models.kernel import distances, matern

_RESULTS = 20
"""results without improvement after which a niche ends"""
_FREE = 0.7
"""a new niche must have a lower correlation with every place that was left"""
_RETURNED_CORRELATION = 0.95
"""correlation with a left place from which on the niche has led back to it"""
_MAX_LEFT = 60
"""places remembered; those left longest ago may be entered again"""


@dataclass(frozen=True, eq=False)
class EvaluatedPoint:
    """A point with a result."""

    coordinates: Floats
    """NaN where inactive"""
    features: Floats
    loss: float


class Niches:
    """The current niche: all points more correlated with its best place than with any place that was left.

    Correlations use the process's length scales at the start of the first niche.
    """

    def __init__(self, numeric: Flags) -> None:
        self._numeric = numeric
        self._weights = np.ones(len(numeric))
        self._left: deque[Floats] = deque(maxlen=_MAX_LEFT)
        self._entrance = np.empty(0)
        self._since = 0
        self.best: EvaluatedPoint | None = None
        """the best place of the niche; None while no niche is searched"""

    def begin(self, weights: Floats, points: Sequence[EvaluatedPoint]) -> None:
        """Leave the best of `points`, and enter the niche of the best place that is not close to it."""
        self._weights = weights
        self._left.append(min(points, key=lambda place: place.loss).features)
        self.enter(points)

    def enter(self, points: Sequence[EvaluatedPoint]) -> None:
        """Enter the niche of the best place not close to any that was left; none if there is no such place."""
        alike = self._alike(np.stack([place.features for place in points]), np.stack(self._left)).max(axis=1)
        free = [place for place, most in zip(points, alike, strict=True) if most < _FREE]
        self.best = min(free, key=lambda place: place.loss, default=None)
        self._since = 0
        if self.best is not None:
            self._entrance = self.best.features

    def leave(self) -> None:
        """Stop searching niches."""
        self.best = None

    def add(self, place: EvaluatedPoint, min_improvement: float) -> bool:
        """Add a result, in the niche or not; return True if the niche ends.

        `min_improvement`: the least decrease of the loss that counts.
        """
        if self.best is None or not self.holds(place.features[None])[0]:
            return False
        self._since += 1
        if place.loss < self.best.loss:
            self._since = 0 if place.loss < self.best.loss - min_improvement else self._since
            self.best = place
        back = self._alike(self.best.features[None], np.stack(self._left)).max() > _RETURNED_CORRELATION
        if self._since < _RESULTS and not back:
            return False
        self._left.extend((self._entrance, self.best.features))
        self.best = None
        return True

    def holds(self, features: Floats) -> Flags:
        """Return a mask of the points in the niche."""
        assert self.best is not None
        similarity = self._alike(features, self.best.features[None])[:, 0]
        mask: Flags = similarity > self._alike(features, np.stack(self._left)).max(axis=1)
        return mask

    def _alike(self, one: Floats, other: Floats) -> Floats:
        return matern(distances(one, other, self._numeric, self._weights))
