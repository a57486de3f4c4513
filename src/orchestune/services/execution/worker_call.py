"""The periodic call of a worker: apply its results and heartbeats, return stop orders and new leases."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import ClassVar, NamedTuple

from msgspec import UNSET, Raw
from msgspec.structs import replace

from orchestune.domain.lifecycle.states import AttemptState, FoldState, Reason, ReasonCode, TrialState, WorkerState
from orchestune.domain.lifecycle.transitions import FOLD, TRIAL, Cause, after
from orchestune.errors import OrchestuneError
from orchestune.ports.clock import new_id
from orchestune.services.core import Core
from orchestune.services.execution import attempts, requeue, trials
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.signatures import report_address
from orchestune.store import changes, experiments, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.attempts import INSERT_ATTEMPT, SELECT_LIVE_OF_WORKER, WorkerLease
from orchestune.store.statements.trials import LEASE_FOLD, PENDING_FOLDS, START_TRIAL, PendingFold
from orchestune.store.statements.workers import BEAT_WORKER, SELECT_WORKER, CallingWorker
from orchestune.wire.answers import Ack, CheckpointToResume, Lease, ReasonDocument, StopOrder, WorkAnswer
from orchestune.wire.registration import PROTOCOL
from orchestune.wire.work import Rejected, Work


class CallResult(NamedTuple):
    """Answer, and the experiment of its worker."""

    answer: WorkAnswer
    experiment: str


class WorkerNotNeeded(OrchestuneError):
    """The worker is no longer needed, or was moved to another experiment: it ends its trials and shuts down."""

    code: ClassVar[str] = "gone"
    status: ClassVar[int] = 410


def work(core: Core, worker: str, call: Work) -> CallResult:
    """Apply one call and return its `WorkAnswer` (protocol.md), in one transaction. Idempotent.

    A call without news is only a heartbeat. Its transaction need not be durable, as the next heartbeat repeats it.
    """
    rollback = ExitStack()
    with rollback, core.store.transaction(durable=call.has_news) as session:
        row, experiment = _locked(session, worker)
        ledger = Ledger(session, experiment, row.name)
        rollback.push(ledger.rolled_back)
        answer = _Call(core, ledger, worker, row, call).answer()
        if ledger.to_be_cancelled:
            trials.cancel_open(ledger)
        ledger.close()
    ledger.announce(core.signals)
    return CallResult(answer, experiment.id)


def _locked(session: Session, worker: str) -> tuple[CallingWorker, ExperimentRow]:
    """Lock the worker's experiment; return the worker's current row and the experiment."""
    row = _worker(session, worker)
    experiment = experiments.lock(session, row.experiment)
    if session.postgres:  # the previous holder of the lock may have drained or ended the worker
        row = _worker(session, worker)
        if row.experiment != experiment.id:
            raise WorkerNotNeeded("this worker was reassigned to another experiment")
    if row.state == WorkerState.LOST:
        workers.move(session, worker, Cause.REGISTER, reason=None, phase=None, sends_files=False)
        row = replace(row, state=WorkerState.ALIVE, sends_files=0)
    return row, experiment


def _worker(session: Session, worker: str) -> CallingWorker:
    row = session.row(SELECT_WORKER, {"id": worker})
    if row is None or row.state == WorkerState.ENDED:
        raise WorkerNotNeeded("this worker is no longer needed")
    return row


def _is_outdated(worker: CallingWorker) -> bool:
    """Return True if the worker has an older protocol: it drains, and another worker replaces it."""
    return worker.protocol is not None and worker.protocol < PROTOCOL


class _Call:
    def __init__(self, core: Core, ledger: Ledger, worker: str, row: CallingWorker, call: Work) -> None:
        self.core, self.ledger, self.worker, self.row, self.call = core, ledger, worker, row, call
        self._begun: set[int] = set()
        """Trials of which this call leased a fold."""
        self._ended: set[str] = set()
        """Attempts ended by this call; the worker lists them as live until their end is acknowledged."""
        self.beat = call.beat
        if call.boot == row.boot_id:
            self.beat = max(self.beat, row.last_call)  # two calls in flight may arrive in reverse order

    def answer(self) -> WorkAnswer:
        acks: list[Ack] = []
        succeeded = failed = 0
        for item in self.call.beats:
            acks.append(Ack(item.attempt, attempts.beat(self.ledger, self.worker, item, self.core.pruners)))
        for end in self.call.finished:
            result, state = attempts.end(self.ledger, self.worker, end, self.core.pruners)
            acks.append(Ack(end.attempt, result))
            if result == "ok":
                self._ended.add(end.attempt)
            succeeded += state is AttemptState.SUCCEEDED
            failed += state is AttemptState.FAILED
            if state is AttemptState.PREEMPTED:  # its machine may have been quarantined, which drains the worker
                self.row = _worker(self.ledger.session, self.worker)
        acks += [self._reject(report) for report in self.call.rejected]
        held, orders = self._compare()
        leases = self._lease(held)
        self.ledger.session.run(
            BEAT_WORKER,
            {
                "id": self.worker,
                "boot_id": self.call.boot,
                "last_call": self.beat,
                "now": self.ledger.now,
                "succeeded": succeeded,
                "failed": failed,
            },
        )
        self._note_files()
        drain = self.row.state == WorkerState.DRAINING or _is_outdated(self.row)
        return WorkAnswer(
            acks=acks,
            orders=orders,
            leases=leases,
            slots=self.row.slots,
            drain=drain,
            again=drain and self.row.next_experiment is not None,
        )

    def _reject(self, report: Rejected) -> Ack:
        """End the attempt of an invalid report as an infrastructure failure, and return the acknowledgement.

        Otherwise the worker would retry the same report forever, and the trial would never end.
        """
        if report.attempt is not None and report.token is not None:
            text = f"worker {self.row.name} sent an invalid report: {report.problem}"
            reason = Reason(ReasonCode.REPORT_REJECTED, text)
            attempts.reject(self.ledger, self.worker, report.attempt, report.token, reason)
        return Ack(report.attempt or "", "rejected", report.problem)

    def _note_files(self) -> None:
        """Update the worker's `sends_files` flag; only reports contain it, long polls do not."""
        if self.call.sending is None:
            return
        sends = bool(self.call.sending)
        if sends != bool(self.row.sends_files):
            reason = "uploading files of its trials" if sends else None
            workers.change(self.ledger.session, self.worker, sends_files=sends, reason=reason)

    def _compare(self) -> tuple[int, list[StopOrder]]:
        """Compare the worker's running attempts with its leases, and lose the leases that never reached it.

        Return the number of remaining leases and the stop orders.
        """
        session = self.ledger.session
        live = {attempt.id: attempt for attempt in session.rows(SELECT_LIVE_OF_WORKER, {"worker": self.worker})}
        ordered = [self._ordered(attempt, attempt.stop_order) for attempt in live.values() if attempt.stop_order]
        if self.call.live is None:
            return len(live), ordered
        claimed = set(self.call.live) - self._ended
        held = len(live)
        for leased in live.values():
            is_delivered = leased.lease_call <= self.call.beat - 2  # a newer lease may still be in flight to the worker
            if leased.id not in claimed and is_delivered and self.call.boot == self.row.boot_id:
                reason = Reason(ReasonCode.WORKER_LOST, f"the lease never reached {self.row.name}")
                attempts.lose(self.ledger, leased.id, reason, reached=False)
                held -= 1
        orders = [order for order in ordered if order.attempt in claimed]
        for attempt in claimed - live.keys():
            row = attempts.find(self.ledger, attempt)
            if row is not None and row.state is AttemptState.LOST and row.attempt_number == row.lease_token:
                continue  # declared lost, but not leased again yet: it may finish
            state = row.state if row else AttemptState.CANCELLED
            if state in (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.PREEMPTED):
                continue  # its end was recorded; the acknowledgement is in flight
            recorded = Reason.from_json(json.loads(row.reason)) if row and row.reason else None
            stop_state = "pruned" if state is AttemptState.PRUNED else "cancelled"
            orders.append(
                _order(attempt, stop_state, recorded or Reason(ReasonCode.SUPERSEDED, "a newer attempt took over"))
            )
        return held, orders

    def _ordered(self, attempt: WorkerLease, state: str) -> StopOrder:
        """Return the order to stop a live attempt, which then ends in `state`."""
        reason = Reason.from_json(json.loads(attempt.reason)) if attempt.reason else None
        rule = self.ledger.row.specification.early_stopping
        grace = rule.grace if state == AttemptState.PRUNED and rule is not None else None
        return _order(attempt.id, state, reason or Reason(ReasonCode.PAUSED, "paused"), grace)

    def _lease(self, held: int) -> list[Lease]:
        row = self.ledger.row
        if not row.can_start_trials or self.row.state != WorkerState.ALIVE or _is_outdated(self.row):
            return []
        if self.call.boot != self.row.boot_id:
            return []  # a call of the worker's previous process, which would never receive the lease
        room = min(self.call.want, self.row.slots - held, row.parallelism - row.live_attempts)
        if room <= 0 or row.pending_folds == 0:
            return []
        session = self.ledger.session
        now = self.ledger.now
        farthest = now + 2 * requeue.MAX_DELAY_SECONDS  # a later `not_before` predates a clock jump: due now
        where = {"experiment": row.id, "now": now, "farthest": farthest, "limit": room, "memory": self.row.memory}
        candidates = session.rows(PENDING_FOLDS, where)
        if candidates and candidates[0].is_isolated:  # only isolated trials are left, which run one at a time
            candidates = candidates[:1] if row.live_attempts == 0 else []
        elif candidates and row.live_attempts and self._isolated_live():
            candidates = []
        leases = [
            self._grant(candidate) for candidate in candidates if not (candidate.is_isolated and len(candidates) > 1)
        ]
        return leases

    def _isolated_live(self) -> bool:
        return self.ledger.session.row(changes.HAS_ISOLATED, {"experiment": self.ledger.row.id}) is not None

    def _grant(self, pending: PendingFold) -> Lease:
        ledger, row, now = self.ledger, self.ledger.row, self.ledger.now
        attempt, token = new_id(self.core.clock), pending.lease_token + 1
        trial, fold = pending.trial, pending.fold
        where = {"experiment": row.id, "trial": trial, "fold": fold, "lease_token": token}
        state = after(FOLD, FoldState.PENDING, Cause.LEASE)
        ledger.session.run(LEASE_FOLD, where | {"state": state, "old": FoldState.PENDING})
        row.pending_folds -= 1
        old = TrialState.RUNNING if trial in self._begun else TrialState(pending.trial_state)
        self._begun.add(trial)
        new = after(TRIAL, old, Cause.LEASE)
        ledger.session.run(START_TRIAL, {"experiment": row.id, "number": trial, "old": old, "state": new, "now": now})
        trials.count(ledger, old, new)
        resumed = json.loads(pending.checkpoint) if pending.checkpoint else None
        ledger.session.run(
            INSERT_ATTEMPT,
            where
            | {
                "id": attempt,
                "state": AttemptState.LEASED,
                "worker": self.worker,
                "lease_call": self.beat,
                "node": self.row.node,
                "gpus": self.row.gpus,
                "leased_at": now,
                "raised_memory": self.row.memory or None,
                "resumed_from": json.dumps({"attempt": resumed["attempt"], "step": resumed["step"]})
                if resumed
                else None,
            },
        )
        row.live_attempts += 1
        row.started_at = row.started_at or now
        ledger.record("attempt_leased", {"attempt": attempt, "trial": trial, "fold": fold, "worker": self.row.name})
        return Lease(
            attempt=attempt,
            token=token,
            number=token,
            trial=trial,
            fold=fold,
            folds=row.specification.folds.count,
            parameters=Raw(pending.parameters.encode()),
            seed=pending.seed,
            revision=pending.revision,
            bundle=pending.bundle,
            gpus=list(self.row.assigned_gpus),
            report=report_address(self.core, attempt),
            checkpoint=CheckpointToResume(resumed["digest"], resumed["step"]) if resumed else None,
        )


def _order(attempt: str, state: str, reason: Reason, grace: float | None = None) -> StopOrder:
    grace_or_unset = UNSET if grace is None else grace
    return StopOrder(attempt=attempt, state=state, reason=ReasonDocument.of(reason), grace=grace_or_unset)
