"""Detects that a search no longer improves. Imports no library."""

from __future__ import annotations

import math
import statistics

from orchestune.engines.samplers.start import STARTUP

ELSEWHERE = "gp-elsewhere"
"""source of suggestions that a stalled search makes away from its incumbent"""
_MIN_STALLED_RESULTS = 40
_SHARE = 0.25
"""share of all results without improvement from which on it is stalled, if they are at least `_MIN_STALLED_RESULTS`"""
_GAIN = 0.01
"""minimum relevant improvement, as a share of the total improvement since the first results"""


class Stall:
    """Observes the losses (smaller is better) in the order of arrival."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._count = self._since = 0
        self._best = math.inf
        """the last loss that counted as an improvement"""

    def add(self, loss: float) -> None:
        """Add a result."""
        self._count += 1
        if len(self._first) < STARTUP:
            self._first.append(loss)
        if loss < self._best - self.min_improvement:
            self._since, self._best = self._count, loss

    @property
    def min_improvement(self) -> float:
        """The minimum decrease of the loss that counts as an improvement."""
        return _GAIN * max(statistics.median(self._first) - self._best, 0.0) if self._since else 0.0

    @property
    def lasts(self) -> bool:
        """True if there was no improvement during the last quarter of all results, and at least 40."""
        return self._count - self._since >= max(_MIN_STALLED_RESULTS, _SHARE * self._count)
