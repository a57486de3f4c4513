"""Whether a search has stopped finding anything better. Loads no library."""

from __future__ import annotations

import math
import statistics

from orchestune.engines.start import STARTUP

ELSEWHERE = "gp-elsewhere"
"""where a suggestion comes from that a search made elsewhere than where the best lies, since it found nothing better"""
_PATIENCE = 40
_SHARE = 0.25
"""of all results"""
_GAIN = 0.01
"""the least that counts as better, as a share of what was gained since the first results"""


class Stall:
    """Looks at the losses (smaller is better) in the order in which they were told."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._count = self._since = 0
        self._best = math.inf
        """the last that counted as better"""

    def add(self, loss: float) -> None:
        """One more result."""
        self._count += 1
        if len(self._first) < STARTUP:
            self._first.append(loss)
        if loss < self._best - self.worth:
            self._since, self._best = self._count, loss

    @property
    def worth(self) -> float:
        """What a loss has to be less by to count as better."""
        return _GAIN * max(statistics.median(self._first) - self._best, 0.0) if self._since else 0.0

    @property
    def lasts(self) -> bool:
        """Whether nothing better was found for a quarter of all results, and 40 at least."""
        return self._count - self._since >= max(_PATIENCE, _SHARE * self._count)
