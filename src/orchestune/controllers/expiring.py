"""Drops the logs and files of experiments that ended long ago, where the server keeps them for some time alone."""

from __future__ import annotations

import logging
from functools import partial

from orchestune.controllers.each import each
from orchestune.services.change_experiment import drop_files
from orchestune.services.core import Core
from orchestune.store import experiments
from orchestune.store.experiments import FIRST

log = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
MOST = 20
"""experiments at one look; the next look comes at once where there are more"""


class Expiring:
    """Counts from the end of an experiment, which one that goes on has again, or from a later import."""

    def __init__(self, core: Core, retention: float) -> None:
        self._core, self._retention = core, retention
        self._next = core.clock.monotonic()
        self._seen = FIRST
        """the last one that was looked at, while there are more"""

    def tick(self) -> None:
        """Look now and then. One whose files cannot be removed keeps no other."""
        now = self._core.clock.monotonic()
        if now < self._next:
            return
        with self._core.store.reading() as session:
            old = experiments.with_old_files(session, session.now - self._retention, MOST, self._seen)
        if len(old) < MOST:
            self._next, self._seen = now + EVERY_SECONDS, FIRST
        else:
            self._seen = old[-1]
        each(partial(self._drop, experiment.id) for experiment in old)

    def _drop(self, experiment: str) -> None:
        drop_files(self._core, experiment)
        log.info("dropped the logs and files of %s", experiment)
