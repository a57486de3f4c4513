"""Wakes idle workers for trials that became leasable without an event."""

from __future__ import annotations

from orchestune.services.core import Core
from orchestune.store import experiment_lists


class WorkerWakeups:
    """A trial with a retry delay becomes due without an event, and a worker that was woken may have died."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Wake at most as many workers as there are leasable trials, so that a thousand idle workers cost nothing."""
        with self._core.store.reading() as session:
            rows = experiment_lists.unfinished(session)
        for row in rows:
            if row.leasable:
                self._core.signals.offer(f"work:{row.id}", row.leasable)
