"""The time in which workers could be heard: that in which the event loop of this process ran."""

from __future__ import annotations

TICK_SECONDS = 0.25
"""Seconds from one tick of the event loop to the next."""
LONGEST_GAP = 1.0
"""Seconds that count of a longer pause between two ticks: the loop was blocked, or the machine stood still."""


class Listening:
    """A monotonic clock that stands still while the event loop is blocked.

    The loop ticks; the reaper reads in its thread. Heartbeats wait in sockets while the loop is blocked, so silence
    during that time says nothing about a worker. Without an event loop (tests of the core, tools) nothing ticks, and
    the clock is the monotonic one.
    """

    def __init__(self) -> None:
        self._heard: float | None = None
        self._ticked = 0.0

    def tick(self, now: float) -> None:
        """Count the time since the last tick; `now` is the monotonic clock. Called on the event loop alone."""
        before = self._heard
        self._heard = now if before is None else before + min(max(now - self._ticked, 0.0), LONGEST_GAP)
        self._ticked = now

    def seconds(self, now: float) -> float:
        """Return the clock's time, in seconds; only differences mean something."""
        return now if self._heard is None else self._heard
