"""How often workers call: less often the more there are, so that thousands of them leave the server time for people.

Idea: a running worker calls once a second, and two to five times a second when its trial prints. The server counts the
workers that called lately, and its answers name a minimum pause between two calls by which they make about
`MAX_CALLS_PER_SECOND` together. The end of a trial is reported without a pause. Workers of experiments that a user
watches are counted apart: their pause follows from their own number, so that a few of them stay as fast as ever.

Invariant: leases last for at least `PAUSES_PER_LEASE` of the longest pause that any worker may still keep. The leader
passes the number of all workers to `expect`, since after a restart, or on another replica, none may have called yet.
"""

from __future__ import annotations

MAX_CALLS_PER_SECOND = 500
"""calls that workers without news make together; a call takes about 1 ms of the server's core"""
MIN_PAUSE_SECONDS = 1.0
"""shorter pauses are not requested: this is a worker's own pace at the default heartbeat interval"""
MAX_PAUSE_SECONDS = 12.0
"""upper bound of the pause; more workers make more calls"""
PAUSES_PER_LEASE = 3
"""a lease lasts for so many pauses, if they are longer than the lease of the settings"""
WINDOW_SECONDS = 30.0
"""workers are counted in two windows of this length: longer than the longest pause"""
MEMORY_SECONDS = 120.0
"""for so long the longest pause is remembered, since workers keep a pause until their next call"""


class CallPace:
    """Counts the workers that call this process. Used on its event loop, apart from `expect` and `longest_pause`."""

    def __init__(self) -> None:
        self._all, self._watched = _RecentWorkers(), _RecentWorkers()
        self._expected = 0
        self._until: float | None = None
        """until then the expected number of workers counts, as not all of them have called this process yet"""
        self._longest = 0.0, 0.0
        """the longest pause of the last `MEMORY_SECONDS`, and when it was last requested"""

    def pause(self, worker: str, now: float, *, watched: bool) -> float:
        """Count a call at the monotonic time `now`, and return the seconds until the next one; 0 for none."""
        if self._until is None:
            self._until = now + WINDOW_SECONDS
        self._all.add(worker, now)
        if watched:
            self._watched.add(worker, now)
            return _pause_of(self._watched.count)
        return _pause_of(max(self._all.count, self._expected if now < self._until else 0))

    def expect(self, workers: int, now: float) -> None:
        """Set the number of all workers of the store. Called by the leader."""
        self._expected = workers
        pause, (longest, at) = _pause_of(workers), self._longest
        if pause >= longest or now - at >= MEMORY_SECONDS:
            self._longest = pause, now

    @property
    def longest_pause(self) -> float:
        """The longest pause in seconds that any worker may keep."""
        return self._longest[0]

    def lease_seconds(self, lease_seconds: float) -> float:
        """Return the duration of leases, given that of the settings."""
        return max(lease_seconds, PAUSES_PER_LEASE * self.longest_pause)


class _RecentWorkers:
    """The number of workers that called within the last one or two windows."""

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._previous, self._began = 0, 0.0

    def add(self, worker: str, now: float) -> None:
        if now - self._began >= WINDOW_SECONDS:
            is_adjacent = now - self._began < 2 * WINDOW_SECONDS
            self._previous, self._current, self._began = len(self._current) if is_adjacent else 0, set(), now
        self._current.add(worker)

    @property
    def count(self) -> int:
        return max(self._previous, len(self._current))


def _pause_of(workers: int) -> float:
    """Return the pause in seconds by which so many workers make `MAX_CALLS_PER_SECOND`; 0 if they make fewer anyway."""
    pause = workers / MAX_CALLS_PER_SECOND
    return min(round(pause, 2), MAX_PAUSE_SECONDS) if pause > MIN_PAUSE_SECONDS else 0.0
