"""Estimate of an experiment's remaining time from its most recent attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LAST = 50
"""number of most recently ended attempts that the estimate uses"""
_MAX_DONE_SHARE = 0.9
"""upper bound of the completed share of a running trial, however long it has run"""


@dataclass(frozen=True)
class TrialPace:
    """Attempt seconds per trial, and number of attempts that run concurrently (`lanes`)."""

    seconds: float
    lanes: float

    def left(self, remaining: int, running: int, live: int, done: float, folds: int = 1) -> float:
        """Return the seconds until `remaining` trials have ended, of which `running` have started.

        Their attempts, of which `live` are running, have taken `done` seconds in total.
        """
        lanes = min(max(self.lanes, live), max(remaining, 1) * folds)
        return max(remaining * self.seconds - min(done, _MAX_DONE_SHARE * running * self.seconds), 0.0) / lanes


def pace(spans: Sequence[tuple[float, float]], trials: int) -> TrialPace:
    """Return the pace from the (start, end) of at least one attempt of `trials` trials, ordered by end.

    Time without a running attempt is ignored: the experiment was paused or over, or its server was down. Time before
    the start of `spans[0]` does not count for the concurrency.
    """
    began = spans[0][0]
    clipped = sorted((max(start, began), end) for start, end in spans if end > max(start, began))
    busy, until = 0.0, began
    for start, end in clipped:
        busy += max(end - max(start, until), 0.0)
        until = max(until, end)
    lanes = sum(end - start for start, end in clipped) / busy if busy else 1.0
    return TrialPace(sum(max(end - start, 0.0) for start, end in spans) / trials, lanes)
