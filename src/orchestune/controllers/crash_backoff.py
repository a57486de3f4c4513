"""Crash-loop backoff: delays new workers after some ended without running a trial; finally pauses the experiment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.store import workers
from orchestune.store.experiments import ExperimentRow

DEATHS_BEFORE_PAUSE = 5
"""consecutive workers that ended without having run a trial, after which the experiment is paused"""
MAX_WAIT_SECONDS = 30.0
"""upper bound of the backoff, in seconds"""


@dataclass
class _Failures:
    deaths: int = 0
    evictions: int = 0
    """consecutive checks that saw evicted or preempted workers which had run nothing"""
    not_before: float = 0.0
    counted: int = 0
    """ended workers of the experiment counted so far"""


class CrashBackoff:
    """The backoff state of each unfinished experiment. In memory only: a restart of the server resets it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._failures: dict[str, _Failures] = {}
        self._excused: dict[str, str] = {}
        """drained, evicted or preempted workers → their experiments"""

    def excuse(self, worker: str, experiment: str) -> None:
        """Do not count the end of this worker as an early death; the backoff applies all the same."""
        self._excused[worker] = experiment

    def keep(self, experiments: Collection[str]) -> None:
        """Drop the state of all other experiments: they are finished."""
        self._failures = {name: failures for name, failures in self._failures.items() if name in experiments}
        self._excused = {worker: name for worker, name in self._excused.items() if name in experiments}

    def too_early(self, row: ExperimentRow) -> bool:
        """Return True if no worker may be started yet, since the last ones died at once; pause if that continues."""
        first_look = row.id not in self._failures
        failures = self._failures.setdefault(row.id, _Failures())
        now = self._core.clock.monotonic()
        with self._core.store.reading() as session:
            ended = [worker for worker in workers.of_experiment(session, row.id) if worker.state == WorkerState.ENDED]
            ended.sort(key=lambda worker: worker.ended_at or worker.created_at)
            new_ends, failures.counted = [] if first_look else ended[failures.counted :], len(ended)
            ran = {worker.id for worker in new_ends if workers.has_run_attempt(session, worker.id)}
        is_evicted = False
        for worker in new_ends:
            # A worker that ran a trial did start. If the trial killed it, the loss counts against the trial.
            useful = worker.succeeded or worker.failed or worker.id in ran or worker.reason is None
            excused = self._excused.pop(worker.id, None) is not None
            is_evicted |= excused and not useful
            if not excused:
                failures.deaths = 0 if useful else failures.deaths + 1
        if new_ends:
            failures.evictions = failures.evictions + 1 if is_evicted else 0
            if failures.deaths or is_evicted:
                failures.not_before = now + min(
                    0.5 * 2 ** min(failures.deaths + failures.evictions, 6), MAX_WAIT_SECONDS
                )
        if failures.deaths >= DEATHS_BEFORE_PAUSE:
            last = new_ends[-1].reason if new_ends else "see its log"
            text = f"{failures.deaths} workers ended at once; the last one: {last}"
            failures.deaths = 0
            with locked(self._core, row.id) as ledger:
                ledger.pause(Reason(ReasonCode.WORKERS_FAIL, text))
            return True
        return now < failures.not_before
