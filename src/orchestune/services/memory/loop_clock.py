"""Clock of the time in which this process could receive heartbeats, that is while its event loop ran."""

from __future__ import annotations

TICK_SECONDS = 0.25
"""seconds between two ticks of the event loop"""
MAX_GAP_SECONDS = 1.0
"""upper bound, in seconds, of the counted time between two ticks: the loop was blocked or the host suspended"""


class LoopClock:
    """A monotonic clock that stops while the event loop is blocked.

    The loop ticks; `LeaseExpiry` reads in its thread. Heartbeats queue in sockets while the loop is blocked, so a
    missing heartbeat during that time says nothing about a worker. Without an event loop (tests of the core, tools)
    nothing ticks, and the clock equals the monotonic one.
    """

    def __init__(self) -> None:
        self._heard: float | None = None
        self._ticked = 0.0

    def tick(self, now: float) -> None:
        """Count the time since the last tick; `now` is the monotonic clock. Called on the event loop alone."""
        before = self._heard
        self._heard = now if before is None else before + min(max(now - self._ticked, 0.0), MAX_GAP_SECONDS)
        self._ticked = now

    def seconds(self, now: float) -> float:
        """Return the clock's time in seconds; only differences are meaningful."""
        return now if self._heard is None else self._heard
