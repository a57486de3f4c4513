"""Removes experiments for good, files first, then rows; and what is left of imports that were cut off."""

from __future__ import annotations

from functools import partial

from orchestune.controllers.each import each
from orchestune.services.change_experiment import remove
from orchestune.services.core import Core
from orchestune.services.import_record import sweep
from orchestune.store import experiments, imports, workers


class Removing:
    """Waits until the workers of what is to go have ended."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Remove what nobody works on any more. One whose files cannot be removed keeps no other."""
        with self._core.store.reading() as session:
            doomed, begun = experiments.to_remove(session), imports.begun(session)
        each(
            [
                *(partial(self._remove, experiment) for experiment in doomed),
                *(partial(sweep, self._core, experiment) for experiment in begun),
            ]
        )

    def _remove(self, experiment: str) -> None:
        with self._core.store.reading() as session:
            anybody = workers.are_there(session, experiment)
        if not anybody:
            remove(self._core, experiment)
