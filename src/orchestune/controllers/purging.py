"""Purges deleted experiments, files before rows, and the remains of interrupted imports."""

from __future__ import annotations

from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.services.commands.change_experiment import remove
from orchestune.services.commands.import_record import sweep
from orchestune.services.core import Core
from orchestune.store import experiment_lists, imports, workers


class Purging:
    """Purges an experiment once all its workers have ended."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Purge the experiments without workers. A failure for one does not stop the others."""
        with self._core.store.reading() as session:
            doomed, begun = experiment_lists.to_remove(session), imports.begun(session)
        each(
            [
                *(partial(self._remove, experiment) for experiment in doomed),
                *(partial(sweep, self._core, experiment) for experiment in begun),
            ]
        )

    def _remove(self, experiment: str) -> None:
        with self._core.store.reading() as session:
            anybody = workers.any_present(session, experiment)
        if not anybody:
            remove(self._core, experiment)
