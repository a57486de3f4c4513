"""Measures how long workers have been silent, and so when their leases expire.

Idea: no time stands in the database. `LeaseExpiry` notes, in memory, when it last saw the number of a worker's last
call change, on a clock that only counts time in which heartbeats could have arrived (`loop_clock`, `_max_gap`). A
worker's leases expire when that number has not changed for the lease time. A restarted server therefore gives every
worker a whole lease; docs/explanation/leases.md has the cases. `lost_workers` acts on it.
"""

from __future__ import annotations

from collections.abc import Set

from orchestune.services.core import Core
from orchestune.store.statements.workers import PolledWorker

START_SECONDS = 120.0
"""timeout from the start of a worker to its registration"""
LATE_SECONDS = 1.5
"""a gap between two ticks counts in full up to this, or up to a third of the lease if that is longer"""


class LeaseExpiry:
    """The silence of workers, measured on this process's own monotonic clock while the server could hear them.

    So no lease expires because of a jump of the wall clock, a restart or long outage of the server or its store, a
    request that blocks the event loop, or a suspended machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._max_gap = max(core.lease_seconds / 3, LATE_SECONDS)
        self._last_tick = core.listening.seconds(core.clock.monotonic())
        self.listened = 0.0
        """seconds so far during which a heartbeat would have been received"""
        self._last_calls: dict[str, tuple[tuple[str | None, int], float]] = {}
        """worker → its process and its last call, and `listened` when these were first seen"""

    @property
    def lease_seconds(self) -> float:
        """The lease time, which is longer if many workers call less often (`call_pace`)."""
        return self._core.pace.lease_seconds(self._core.lease_seconds)

    def tick(self) -> None:
        """Count the time since the last tick, as far as heartbeats could arrive in it."""
        now = self._core.listening.seconds(self._core.clock.monotonic())
        self.listened += min(now - self._last_tick, self._max_gap)
        self._last_tick = now

    def restart_all(self) -> None:
        """Restart the timeouts of all workers."""
        self._last_calls.clear()

    def restart(self, worker: PolledWorker) -> None:
        """Restart the timeout of one worker."""
        self._last_calls[worker.id] = ((worker.boot_id, worker.last_call), self.listened)

    def keep(self, workers: Set[str]) -> None:
        """Forget all other workers."""
        for absent in self._last_calls.keys() - workers:
            del self._last_calls[absent]

    def share_of_timeout(self, worker: PolledWorker) -> float:
        """Return how much of its timeout the worker has been silent; from 1 on, its leases have expired."""
        last_call, since = self._last_calls.get(worker.id, (None, 0.0))
        if last_call != (worker.boot_id, worker.last_call):
            self.restart(worker)
            return 0.0
        timeout = START_SECONDS if worker.boot_id is None else self.lease_seconds
        return (self.listened - since) / timeout
