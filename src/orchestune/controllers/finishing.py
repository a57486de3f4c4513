"""Brings experiments to their end: time limits, open trials, workers."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from orchestune.controllers.sparing import Sparing
from orchestune.domain.states import Desired, ExperimentState, Reason, ReasonCode, WorkerState
from orchestune.services import trials
from orchestune.services.core import Core
from orchestune.services.ledger import locked
from orchestune.store import experiments, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.workers import Present

log = logging.getLogger(__name__)

FILES_SECONDS = 3600.0
"""how long a worker of an experiment that has come to its end may take to hand in what its trials keep"""


class Finishing:
    """Ends what is over."""

    def __init__(self, core: Core, sparing: Sparing) -> None:
        self._core, self._sparing = core, sparing
        self._told: set[str] = set()
        self._sending: dict[str, float] = {}
        """worker → since when it is waited for"""

    def tick(self) -> None:
        """Look at every experiment that is not over, and at workers of those that are."""
        with self._core.store.reading() as session:
            rows = experiments.unfinished(session)
        for row in rows:
            self._experiment(row)
        unfinished = {row.id: row for row in rows}
        ending = {worker for name in self._core.backends for worker in self._workers_of_the_dead(name, unfinished)}
        self._told &= ending
        self._sending = {worker: since for worker, since in self._sending.items() if worker in ending}

    def _experiment(self, row: ExperimentRow) -> None:
        limit = row.specification.stop.time
        timed_out = limit is not None and row.started_at is not None and row.ended is None
        over = row.ended is not None or row.desired is Desired.STOPPED
        if not timed_out and not over:
            return
        with self._core.store.reading() as session:
            present = [w for w in workers.of_experiment(session, row.id) if w.state in (*workers.PRESENT, "lost")]
        with locked(self._core, row.id) as ledger:
            now = ledger.row
            if now.desired is not Desired.STOPPED:
                ledger.evaluate()
            over = now.ended is not None or now.desired is Desired.STOPPED
            if over and now.open:
                trials.cancel_open(ledger, now.reason or Reason(ReasonCode.CANCELLED, "the experiment is over"))
            elif over and not present and now.live == 0 and now.state is ExperimentState.STOPPING:
                ledger.settle()

    def _workers_of_the_dead(self, cluster: str, unfinished: dict[str, ExperimentRow]) -> list[str]:
        """End the workers of experiments that are over or are being stopped; those that are spared stay warm, and those
        with files that have not arrived yet get the time for it: they drain, and end by themselves.

        Returns their ids, those that were told before too.
        """
        backend = self._core.backends[cluster]
        with self._core.store.reading() as session:
            present = workers.present(session, cluster)
        rows = [row for row in unfinished.values() if row.cluster == cluster]
        ending = workers_to_end(present, unfinished)
        ending = [worker for worker in ending if not self._sparing.keeps(backend, worker, rows)]
        for worker in ending:
            if worker.id in self._told or not worker.handle:
                continue
            if self._hands_in_files(worker):
                continue
            row = unfinished.get(worker.experiment)
            grace = row.specification.grace if row is not None else 10.0
            backend.end(worker.id, json.loads(worker.handle), grace)
            self._told.add(worker.id)
        return [worker.id for worker in ending]

    def _hands_in_files(self, worker: Present) -> bool:
        if worker.phase != workers.SENDING or worker.state not in (WorkerState.ALIVE, WorkerState.DRAINING):
            return False
        with self._core.store.reading() as session:
            row = experiments.get(session, worker.experiment)
        if row.desired is Desired.STOPPED or row.hidden:
            return False
        now = self._core.clock.monotonic()
        if now - self._sending.setdefault(worker.id, now) < FILES_SECONDS:
            return True
        log.warning("files of trials of %s did not arrive within an hour; its worker %s ends", row.handle, worker.name)
        return False


def workers_to_end(present: Sequence[Present], unfinished: dict[str, ExperimentRow]) -> list[Present]:
    """Workers whose experiment is over, or is being stopped."""
    found = []
    for worker in present:
        row = unfinished.get(worker.experiment)
        if row is None or row.desired is Desired.STOPPED or row.ended is not None:
            found.append(worker)
    return found
