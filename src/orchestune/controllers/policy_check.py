"""Pauses experiments that their cluster's policy no longer allows, and terminates their workers."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.errors import TemporaryError
from orchestune.ports.backend import Backend
from orchestune.services.core import Core
from orchestune.services.execution import policy_recheck
from orchestune.store import experiment_lists, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.workers import PolledWorker

log = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0
"""timeout beyond the grace period of trials in which a drained worker may publish checkpoints, upload files and exit"""


class PolicyCheck:
    """Checks each experiment that is unfinished or has workers against the allow-list, once per server start.

    A change of the allow-list restarts the server.

    The workers of a refused experiment are drained. Those that are still there at a deadline are terminated by the
    backend, whatever they report: a worker keeps its access as long as it runs, and code of a trial may control it.
    The deadlines are not stored: after a restart of the server, the experiments are checked again and get new ones.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._checked: set[str] = set()
        self._deadlines: dict[str, float] = {}
        """refused experiment → monotonic time from which its workers are terminated"""
        self._terminated: set[str] = set()

    def tick(self) -> None:
        """Check the experiments not checked yet, and terminate the workers whose deadline has passed.

        A check that fails with TemporaryError is retried at the next tick, and so is a termination. An error of a
        backend is raised after all workers have been processed.
        """
        with self._core.store.reading() as session:
            rows = experiment_lists.unfinished(session)
            staffed = workers.staffed(session)
            over = staffed - self._checked - {row.id for row in rows}
            rows += experiment_lists.of_ids(session, sorted(over))
        known = staffed | {row.id for row in rows}
        resumed = {row.id for row in rows if row.can_start_trials}  # `resume` has checked the policy again
        self._checked &= known
        self._deadlines = {name: at for name, at in self._deadlines.items() if name in known - resumed}
        jobs: list[Callable[[], object]] = [partial(self._check, row) for row in rows if row.id not in self._checked]
        each([*jobs, *self._terminations()])

    def _terminations(self) -> list[Callable[[], object]]:
        """Return the jobs that terminate the workers of refused experiments whose deadline has passed."""
        if not self._deadlines:  # nearly always: thousands of workers need not be read at each tick
            self._terminated.clear()
            return []
        with self._core.store.reading() as session:
            present = [
                (backend, worker)
                for name, backend in self._core.backends.items()
                for worker in workers.present(session, name)
            ]
        self._terminated &= {worker.id for _, worker in present}
        return [partial(self._terminate_if_due, backend, worker) for backend, worker in present]

    def _check(self, row: ExperimentRow) -> None:
        try:
            is_refused = policy_recheck.withdraw(self._core, row)
        except TemporaryError:
            return
        self._checked.add(row.id)
        if is_refused:
            timeout = row.specification.grace + DRAIN_SECONDS
            self._deadlines[row.id] = self._core.clock.monotonic() + timeout

    def _terminate_if_due(self, backend: Backend, worker: PolledWorker) -> None:
        deadline = self._deadlines.get(worker.experiment, math.inf)
        if worker.id in self._terminated or self._core.clock.monotonic() < deadline:
            return
        log.warning("worker %s did not shut down; its experiment is not allowed any more: terminating it", worker.name)
        backend.terminate(worker.id, json.loads(worker.backend_handle or "{}"), 0.0)
        self._terminated.add(worker.id)
