"""How long the rest of an experiment takes, by how the trials that ended last went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LAST = 50
"""attempts that ended, so many are looked at"""
_NEARLY = 0.9
"""as much of a running trial is done at most, however long it has run"""


@dataclass(frozen=True)
class Pace:
    """Seconds of attempts that a trial takes, and how many attempts run side by side."""

    seconds: float
    lanes: float

    def left(self, remaining: int, running: int, live: int, done: float, folds: int = 1) -> float:
        """Seconds until `remaining` trials have ended, of which `running` have begun.

        Those have `done` seconds behind them together, in attempts of which `live` run now.
        """
        lanes = min(max(self.lanes, live), max(remaining, 1) * folds)
        return max(remaining * self.seconds - min(done, _NEARLY * running * self.seconds), 0.0) / lanes


def pace(spans: Sequence[tuple[float, float]], trials: int) -> Pace:
    """Of all attempts of so many trials, when each began and ended, in the order in which they ended; one at least.

    Time in which none of them ran says nothing: the experiment was paused or over, or its server was off. What ran
    beside the first one, and before it, does not tell how many run side by side.
    """
    began = spans[0][0]
    clipped = sorted((max(start, began), end) for start, end in spans if end > max(start, began))
    busy, until = 0.0, began
    for start, end in clipped:
        busy += max(end - max(start, until), 0.0)
        until = max(until, end)
    lanes = sum(end - start for start, end in clipped) / busy if busy else 1.0
    return Pace(sum(max(end - start, 0.0) for start, end in spans) / trials, lanes)
