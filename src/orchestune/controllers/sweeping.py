"""Has each place remove what it has of ours and nobody wants any more."""

from __future__ import annotations

from functools import partial

from orchestune.controllers.each import each
from orchestune.services.core import Core
from orchestune.store import workers

SECONDS = 2.0
"""between two looks; a backend calls its place only for what is to go"""


class Sweeping:
    """Tells backends which workers there still are. Nothing else counts as wanted."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = core.clock.monotonic()

    def tick(self) -> None:
        """Now and then. TemporaryError, at the end, if a place was away."""
        now = self._core.clock.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS
        with self._core.store.reading() as session:
            present = {name: list(workers.present(session, name)) for name in self._core.backends}
        each(
            partial(backend.sweep, frozenset(worker.id for worker in present[name]))
            for name, backend in self._core.backends.items()
        )
