"""Has each backend delete resources that Orchestune created and no longer needs."""

from __future__ import annotations

from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.services.core import Core
from orchestune.store import workers

INTERVAL_SECONDS = 2.0
"""interval; a backend calls its cluster's API only if there is something to delete"""


class BackendCleanup:
    """Passes the workers that still exist to each backend, which deletes the resources of all others."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = core.clock.monotonic()

    def tick(self) -> None:
        """Sweep if the interval has passed. Raises TemporaryError at the end if a cluster is unreachable."""
        now = self._core.clock.monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL_SECONDS
        with self._core.store.reading() as session:
            present = {name: list(workers.present(session, name)) for name in self._core.backends}
        each(
            partial(backend.sweep, frozenset(worker.id for worker in present[name]))
            for name, backend in self._core.backends.items()
        )
