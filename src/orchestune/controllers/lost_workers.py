"""Detects lost workers: at once if the backend reports their end, otherwise when their leases expire.

`lease_expiry` measures how long a worker has been silent; this controller decides what follows.

Invariants:
- A heartbeat counts only if it was stored. If the store was full or unreachable, all timeouts restart (`_restart`). To
  notice it, a tick in which workers are silent writes the row of one of them (`_probe`) before any is declared lost.
- The decision is made twice: without a lock, and again under the lock of the experiment (`_lost`), where a heartbeat
  that arrived meanwhile wins.
- A lost worker may come back within `GIVE_UP_SECONDS`; its late results count until their folds are leased again. Only
  then is it terminated, and only then do its resources become free: it may still run.
- A worker that is pending for a reason (no node, image pull) is never lost; that has no timeout.

Race: two servers on one database may both decide. The state transitions in the store accept one of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from orchestune.controllers.crash_backoff import CrashBackoff
from orchestune.controllers.isolated_jobs import each
from orchestune.controllers.lease_expiry import LeaseExpiry
from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.domain.lifecycle.transitions import Cause
from orchestune.domain.words import plural
from orchestune.errors import StoreUnavailable, TemporaryError
from orchestune.ports.backend import Backend, Phase, WorkerLoss, WorkerStatus
from orchestune.services import environments
from orchestune.services.core import Core
from orchestune.services.execution import attempts, pending_files
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.store import experiments, workers
from orchestune.store.statements.attempts import SELECT_LIVE_OF_WORKER
from orchestune.store.statements.workers import PolledWorker
from orchestune.system.isolation import failure_of
from orchestune.worker.mask import masked_text, spellings

log = logging.getLogger(__name__)

GIVE_UP_SECONDS = 120.0
"""timeout for a lost worker to come back, after which it is terminated and its resources are released"""


class LostWorkers:
    """Declares workers lost, requeues their trials, and terminates them if they stay lost."""

    def __init__(self, core: Core, backoff: CrashBackoff) -> None:
        self._core, self._backoff = core, backoff
        self._silence = LeaseExpiry(core)
        self._lost_since: dict[str, float] = {}
        self._is_probed = False
        """True if this tick has written to the store"""

    def tick(self) -> None:
        """Check every worker not known to have ended. Raises TemporaryError at the end if a cluster is unreachable."""
        self._silence.tick()
        self._is_probed = False
        if self._core.store.full:
            self._restart()
        present: set[str] = set()
        each(partial(self._look, name, present) for name in self._core.backends)
        self._core.pace.expect(len(present), self._core.clock.monotonic())
        self._silence.keep(present)
        self._lost_since = {worker: since for worker, since in self._lost_since.items() if worker in present}

    def _restart(self) -> None:
        """Restart all timeouts at the next tick: the workers could not send heartbeats either."""
        self._silence.restart_all()
        self._lost_since.clear()

    def _look(self, name: str, checked: set[str]) -> None:
        """Check the workers of one cluster, and add them to `checked`."""
        try:
            with self._core.store.reading() as session:
                present = workers.present(session, name)
            checked.update(worker.id for worker in present)
            if present:
                self._cluster(self._core.backends[name], present)
        except StoreUnavailable:
            self._restart()
            raise

    def _cluster(self, backend: Backend, present: list[PolledWorker]) -> None:
        backend_refs = {
            worker.id: json.loads(worker.backend_handle) if worker.backend_handle else {} for worker in present
        }
        observed = {status.worker: status for status in backend.observe(backend_refs)}
        failures: list[Exception] = []
        for worker in present:
            check = partial(self._worker, backend, worker, backend_refs[worker.id], observed.get(worker.id))
            error = failure_of(check, passing=StoreUnavailable)  # on which `_look` restarts all timeouts
            if error is not None:
                failures.append(error)
        if failures:
            raise failures[0]

    def _worker(
        self, backend: Backend, worker: PolledWorker, backend_ref: Mapping[str, object], observed: WorkerStatus | None
    ) -> None:
        now = self._silence.listened
        status = self._masked(worker, observed) if observed is not None else None
        if worker.state != WorkerState.LOST:
            self._lost_since.pop(worker.id, None)
        if status is not None and status.node not in ("", worker.node):
            self._locate(worker, status.node)
        if status is not None and worker.backend_handle is not None:
            self._complete(worker, backend_ref, status)
        begun = worker.backend_handle is not None or worker.state == WorkerState.DRAINING
        if status is not None and status.phase is Phase.GONE and begun:
            self._gone(worker, status)
        elif not begun:
            self._silence.restart(worker)  # not started yet
        elif worker.state == WorkerState.DRAINING and worker.boot_id is None:
            # It never registered, so it cannot receive the order to drain, and it may stay pending forever.
            self._end(backend, worker, backend_ref)
        elif status is not None and status.phase.waits and worker.boot_id is None:
            self._pending(worker, status)
        elif worker.state == WorkerState.LOST:
            if now - self._lost_since.setdefault(worker.id, now) >= GIVE_UP_SECONDS:
                self._end(backend, worker, backend_ref)
        elif self._is_expired(worker):
            self._lost(worker)

    def _masked(self, worker: PolledWorker, status: WorkerStatus) -> WorkerStatus:
        """Mask the secrets of its experiment in a new reason: a trial writes some of these, as a termination log."""
        if not status.reason or status.reason == worker.reason:
            return status
        secrets = environments.secrets_of(self._core, worker.experiment).values()
        return replace(status, reason=masked_text(status.reason, spellings(secrets, longest=len(status.reason))))

    @staticmethod
    def _end(backend: Backend, worker: PolledWorker, backend_ref: Mapping[str, object]) -> None:
        """Terminate a worker; if that fails for now, the next tick retries it, so that other workers need not wait."""
        try:
            backend.terminate(worker.id, backend_ref, 0.0)
        except TemporaryError as error:
            log.warning("cannot terminate worker %s now: %s", worker.name, error)

    def _is_expired(self, worker: PolledWorker) -> bool:
        share = self._silence.share_of_timeout(worker)
        if share >= 1 / 3:
            self._probe(worker)
        return share >= 1

    def _probe(self, worker: PolledWorker) -> None:
        """Write a row, once per tick. Raises StoreUnavailable if no heartbeat can be stored."""
        if self._is_probed:
            return
        with self._core.store.transaction(durable=False) as session:
            workers.touch(session, worker.id)
        self._is_probed = True

    def _locate(self, worker: PolledWorker, node: str) -> None:
        """Record the node that the backend reports, whatever the worker said: failures count against this node."""
        with self._core.store.transaction(durable=False) as session:
            workers.change(session, worker.id, node=node)

    def _complete(self, worker: PolledWorker, backend_ref: Mapping[str, object], status: WorkerStatus) -> None:
        """Record what the backend has learned about the worker, such as the name of its pod."""
        complete = {**backend_ref, **status.backend_ref}
        if complete == backend_ref:
            return
        with self._core.store.transaction(durable=False) as session:
            workers.change(session, worker.id, backend_handle=json.dumps(complete))

    def _pending(self, worker: PolledWorker, status: WorkerStatus) -> None:
        """Record why the worker is pending (node, image, …); there is no timeout for that."""
        self._silence.restart(worker)
        if (status.reason, status.phase) != (worker.reason or "", worker.phase):
            with self._core.store.transaction() as session:
                workers.change(session, worker.id, reason=status.reason or None, phase=status.phase)

    def _gone(self, worker: PolledWorker, status: WorkerStatus) -> None:
        drained = worker.state == WorkerState.DRAINING and (not status.reason or worker.boot_id is None)
        text = status.reason or ("drained" if drained else "its process ended")
        if worker.state == WorkerState.LOST and worker.reason:
            text = f"{worker.reason}; {text}"  # keep the reason for the loss: the way it ended does not explain it
        if status.loss is WorkerLoss.PLACE:
            self._backoff.excuse(worker.id, worker.experiment)
        with locked(self._core, worker.experiment) as ledger:
            for attempt in ledger.session.rows(SELECT_LIVE_OF_WORKER, {"worker": worker.id}):
                self._end_attempt(ledger, attempt.id, status.loss, f"worker {worker.name} is gone: {text}")
            if status.loss is WorkerLoss.REFUSED:
                ledger.pause(Reason(ReasonCode.WORKERS_FAIL, f"no worker can be started: {text}"))
            if missing := pending_files.lost(ledger.session, worker.id, worker.name, text):
                text = f"files of {plural(missing, 'attempt')} did not arrive; {text}"
                log.warning("%s: worker %s is gone: %s", ledger.row.handle, worker.name, text)
            reason = None if drained and not missing else text
            workers.move(ledger.session, worker.id, Cause.END, ended_at=ledger.now, reason=reason)
            ledger.record("worker_ended", {"worker": worker.name, "reason": text})

    def _end_attempt(self, ledger: Ledger, attempt: str, loss: WorkerLoss, text: str) -> None:
        if loss is WorkerLoss.OUT_OF_MEMORY:
            attempts.fail_lost(ledger, attempt, Reason(ReasonCode.OUT_OF_MEMORY, text))
        elif loss is WorkerLoss.PLACE:
            attempts.preempt(ledger, attempt, Reason(ReasonCode.PREEMPTED, text))
        else:
            attempts.lose(ledger, attempt, Reason(ReasonCode.WORKER_LOST, text))

    def _lost(self, worker: PolledWorker) -> None:
        with locked(self._core, worker.experiment) as ledger:
            current = workers.get(ledger.session, worker.id)
            if current is None or current.last_call != worker.last_call or current.boot_id != worker.boot_id:
                return  # a heartbeat arrived while this thread waited for the lock
            text = f"no heartbeat from worker {worker.name} for {self._silence.lease_seconds:g} s"
            if workers.move(ledger.session, worker.id, Cause.LOSE, reason=text) is None:
                return
            log.warning("%s: %s", experiments.get(ledger.session, worker.experiment).handle, text)
            for attempt in ledger.session.rows(SELECT_LIVE_OF_WORKER, {"worker": worker.id}):
                attempts.lose(ledger, attempt.id, Reason(ReasonCode.WORKER_LOST, text))
            ledger.record("worker_lost", {"worker": worker.name, "reason": text})
