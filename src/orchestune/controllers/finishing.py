"""Finishes experiments: enforces time limits, cancels open trials, terminates workers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence, Set
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.controllers.warm_pool import WarmPool
from orchestune.domain.lifecycle.states import Desired, ExperimentState, Visibility, WorkerState
from orchestune.errors import NotFound
from orchestune.ports.backend import Backend
from orchestune.services import environments
from orchestune.services.core import Core
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import locked
from orchestune.store import experiment_lists, experiments, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.workers import PolledWorker

log = logging.getLogger(__name__)

FILES_SECONDS = 3600.0
"""timeout for a worker of a finished experiment to upload the files its trials keep"""
STOPPED_FILES_SECONDS = 300.0
"""timeout if a user stopped the experiment: the uploads of completed trials have already begun"""
MAX_CREATION_SECONDS = 60.0
"""seconds after which an experiment is visible that a running server creates"""


class Finishing:
    """Finishes experiments, and terminates the workers that finished experiments leave behind."""

    def __init__(self, core: Core, warm_pool: WarmPool) -> None:
        self._core, self._warm_pool = core, warm_pool
        self._terminated: set[str] = set()
        self._sending: dict[str, tuple[float, int]] = {}
        """worker → when waiting for its uploads began, and its last heartbeat then"""
        self._absent: dict[str, float] = {}
        """experiment with a stored environment but without a row → when this was first seen"""

    def tick(self) -> None:
        """Process every unfinished experiment, and the workers of finished ones.

        Raises TemporaryError, after all others were processed, if a cluster is unreachable.
        """
        with self._core.store.reading() as session:
            rows, now = experiment_lists.unfinished(session), session.now
        jobs: list[Callable[[], object]] = [partial(self._experiment, row, now) for row in rows]
        unfinished = {row.id: row for row in rows}
        self._core.pruners.keep(rows)
        ending = {name: self._workers_to_terminate(name, unfinished) for name in self._core.backends}
        ids = {worker.id for workers_of_cluster in ending.values() for worker in workers_of_cluster}
        self._terminated &= ids
        self._sending = {worker: since for worker, since in self._sending.items() if worker in ids}
        jobs.append(partial(self._delete_environments, unfinished.keys()))
        jobs += [
            partial(self._end, self._core.backends[name], workers_of_cluster, unfinished)
            for name, workers_of_cluster in ending.items()
        ]
        each(jobs)

    def _experiment(self, row: ExperimentRow, at: float) -> None:
        if not row.ending and not _timed_out(row, at):
            return
        with locked(self._core, row.id) as ledger:
            now = ledger.row
            if now.desired is not Desired.STOPPED:
                ledger.evaluate()
            if now.ending and now.open:
                trials.cancel_open(ledger)
            elif (
                now.ending
                and now.live_attempts == 0
                and now.state is ExperimentState.STOPPING
                and not workers.any_present(ledger.session, row.id)
            ):
                ledger.workers_ended()

    def _delete_environments(self, unfinished: Set[str]) -> None:
        """Delete the environments of experiments that are over, and those left by a server that died creating one."""
        stored = environments.stored(self._core) - unfinished
        self._absent = {experiment: since for experiment, since in self._absent.items() if experiment in stored}
        for experiment in stored:
            try:
                with locked(self._core, experiment) as ledger:  # it may be resumed at this moment, with a new one
                    if ledger.row.state.over:
                        environments.delete(self._core, experiment)
            except NotFound:  # it is being created, unless this lasts
                now = self._core.clock.monotonic()
                if now - self._absent.setdefault(experiment, now) > MAX_CREATION_SECONDS:
                    environments.delete(self._core, experiment)

    def _workers_to_terminate(self, cluster: str, unfinished: dict[str, ExperimentRow]) -> list[PolledWorker]:
        """Return the workers of finished or stopping experiments, except those kept warm."""
        backend = self._core.backends[cluster]
        with self._core.store.reading() as session:
            present = workers.present(session, cluster)
        rows = [row for row in unfinished.values() if row.cluster == cluster]
        ending = workers_to_end(present, unfinished)
        return [worker for worker in ending if not self._warm_pool.keeps(backend, worker, rows)]

    def _end(self, backend: Backend, ending: Sequence[PolledWorker], unfinished: dict[str, ExperimentRow]) -> None:
        """Terminate the workers not terminated yet.

        Workers with pending uploads get time for these: they end their trials as ordered, drain, and exit on their own.
        """
        each(partial(self._end_worker, backend, worker, unfinished.get(worker.experiment)) for worker in ending)

    def _end_worker(self, backend: Backend, worker: PolledWorker, row: ExperimentRow | None) -> None:
        if worker.id in self._terminated or not worker.backend_handle or self._uploads_files(worker):
            return
        grace = row.specification.grace if row is not None else 10.0
        backend.terminate(worker.id, json.loads(worker.backend_handle), grace)
        self._terminated.add(worker.id)

    def _uploads_files(self, worker: PolledWorker) -> bool:
        if not worker.sends_files or worker.state not in (WorkerState.ALIVE, WorkerState.DRAINING):
            return False
        with self._core.store.reading() as session:
            row = experiments.get(session, worker.experiment)
        if row.visibility is not Visibility.LISTED:
            return False
        stopped, now = row.desired is Desired.STOPPED, self._core.clock.monotonic()
        since, beat = self._sending.setdefault(worker.id, (now, worker.last_call))
        pause = max(self._core.beat_seconds, self._core.pace.longest_pause)
        if stopped and worker.last_call == beat and now - since >= pause:
            return False  # no heartbeat: it cannot receive the stop order, so the backend must terminate it
        most = STOPPED_FILES_SECONDS if stopped else FILES_SECONDS
        if now - since < most:
            return True
        text = "files of trials of %s did not arrive within %.0f minutes; its worker %s ends"
        log.warning(text, row.handle, most / 60, worker.name)
        return False


def _timed_out(row: ExperimentRow, now: float) -> bool:
    limit = row.specification.stop.time
    return limit is not None and row.seconds_active(now) >= limit


def workers_to_end(present: Sequence[PolledWorker], unfinished: dict[str, ExperimentRow]) -> list[PolledWorker]:
    """Return the workers whose experiment is finished or being stopped."""
    ending = []
    for worker in present:
        row = unfinished.get(worker.experiment)
        if row is None or row.ending:
            ending.append(worker)
    return ending
