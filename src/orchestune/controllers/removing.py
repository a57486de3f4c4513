"""Removes experiments for good: files first, then rows."""

from __future__ import annotations

from orchestune.errors import StoreUnavailable
from orchestune.services.change_experiment import remove
from orchestune.services.core import Core
from orchestune.store import experiments, workers


class Removing:
    """Waits until the workers of what is to go have ended."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Remove what nobody works on any more. One whose files cannot be removed keeps no other."""
        trouble: StoreUnavailable | None = None
        with self._core.store.reading() as session:
            doomed = experiments.to_remove(session)
        for experiment in doomed:
            with self._core.store.reading() as session:
                found = workers.of_experiment(session, experiment)
            if not any(worker.state in (*workers.PRESENT, "lost") for worker in found):
                try:
                    remove(self._core, experiment)
                except StoreUnavailable as error:
                    trouble = trouble or error
        if trouble is not None:
            raise trouble
