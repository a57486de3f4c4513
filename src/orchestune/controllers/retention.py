"""Deletes the logs and files of experiments whose retention period has passed, if the server has one."""

from __future__ import annotations

import logging
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.services.commands.change_experiment import drop_files
from orchestune.services.core import Core
from orchestune.store import experiment_lists
from orchestune.store.experiment_lists import FIRST

log = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
MAX_EXPERIMENTS_PER_TICK = 20
"""experiments per tick; if there are more, the next tick continues without waiting for the interval"""


class Retention:
    """Counts the retention from the end of an experiment (the new one if it was resumed), or from a later import."""

    def __init__(self, core: Core, retention: float) -> None:
        self._core, self._retention = core, retention
        self._next = core.clock.monotonic()
        self._seen = FIRST
        """cursor: the last experiment processed, while there are more"""

    def tick(self) -> None:
        """Delete expired files if the interval has passed. A failure for one experiment does not stop the others."""
        now = self._core.clock.monotonic()
        if now < self._next:
            return
        with self._core.store.reading() as session:
            old = experiment_lists.with_old_files(
                session, session.now - self._retention, MAX_EXPERIMENTS_PER_TICK, self._seen
            )
        if len(old) < MAX_EXPERIMENTS_PER_TICK:
            self._next, self._seen = now + EVERY_SECONDS, FIRST
        else:
            self._seen = old[-1]
        each(partial(self._drop, experiment.id) for experiment in old)

    def _drop(self, experiment: str) -> None:
        drop_files(self._core, experiment)
        log.info("deleted the logs and files of %s: the retention period has passed", experiment)
