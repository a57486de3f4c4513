"""Apply workers' reports about attempts to the store. All functions run under the ledger's lock."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestune.domain.lifecycle.states import AttemptState, Reason, ReasonCode
from orchestune.domain.lifecycle.transitions import ATTEMPT, Cause, InvalidTransition, after
from orchestune.domain.specification import stopping
from orchestune.domain.specification.experiment import ProgramKind
from orchestune.domain.specification.metrics import Metric, Point, ReducedMetric, reduce
from orchestune.services.execution import folds, pending_files, pruning, quarantine, requeue, trials, usage
from orchestune.services.execution import points as reported
from orchestune.services.execution.attempt_logs import append_logs
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.execution.progress import pause_without_progress
from orchestune.services.execution.raise_memory import applies, consider, raise_memory
from orchestune.services.memory.pruner_cache import PrunerCache
from orchestune.store.statements.attempts import (
    END_ATTEMPT,
    RECORD_LATE_END,
    SELECT_ATTEMPT,
    SET_LOG_END,
    START_ATTEMPT,
    AttemptInTrial,
)
from orchestune.wire.answers import Result
from orchestune.wire.work import AttemptReport, EndState, Finished, Heartbeat

ENDS_OF_ITS_OWN = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.PREEMPTED, AttemptState.PRUNED)
"""final states that the worker reports, possibly more than once"""
_DECIDED_BY_SERVER = (AttemptState.CANCELLED, AttemptState.PRUNED)
"""final states that the server decides: the worker gets a stop order, and the process its grace period"""
_REPORTED_FIELDS = ("exit_code", "signal", "wall", "cpu", "memory", "log_bytes", "tail")
"""fields that a worker reports about a process that ended"""


@dataclass(frozen=True)
class AttemptVerdict:
    """Outcome of an attempt after evaluation of its metrics."""

    cause: Cause
    reason: Reason | None
    measured: Mapping[str, ReducedMetric]
    missing: str | None = None
    memory: int = 0
    """bytes for the retry if the attempt was OOM killed; 0 otherwise"""


def find(ledger: Ledger, attempt: str) -> AttemptInTrial | None:
    """Return the attempt; None if this experiment has no such attempt."""
    return ledger.session.row(SELECT_ATTEMPT, {"id": attempt, "experiment": ledger.row.id})


def _own(ledger: Ledger, attempt: str, token: int, worker: str) -> AttemptInTrial | None:
    """Return the attempt if it was leased to this worker under this token; None otherwise.

    The token alone proves nothing: it is a small number, and the ids of attempts are visible to all viewers.
    """
    row = find(ledger, attempt)
    return row if row is not None and row.attempt_number == token and row.worker == worker else None


def beat(ledger: Ledger, worker: str, item: Heartbeat, pruners: PrunerCache) -> Result:
    """Apply a heartbeat of an attempt of `worker` (start, logs, points); return the acknowledgement's `result`."""
    attempt = item.attempt
    row = _own(ledger, attempt, item.token, worker)
    if row is None:
        return "unknown"
    if item.logs:
        end = append_logs(ledger, attempt, row.trial, row.log_end, item.logs)
        ledger.session.run(SET_LOG_END, {"id": attempt, "log_end": end})
    if item.usage:
        usage.take(ledger, attempt, item.usage, ended=not row.state.live)
    if not row.state.live:
        if row.lease_token != row.attempt_number or row.state not in (AttemptState.LOST, *_DECIDED_BY_SERVER):
            return "superseded"
        if row.state is AttemptState.LOST:
            reported.append(ledger, attempt, _points(ledger, row, item))  # its end may still arrive late and count
        return "ok"
    if item.started and row.state is AttemptState.LEASED:
        ledger.session.run(
            START_ATTEMPT,
            {
                "id": attempt,
                "old": row.state,
                "state": after(ATTEMPT, row.state, Cause.START),
                "started_at": ledger.now - item.age,
            },
        )
        ledger.record("attempt_started", {"attempt": attempt, "trial": row.trial, "fold": row.fold})
    if item.points:
        progress(ledger, attempt, row, _points(ledger, row, item), pruners)
    return "ok"


def _points(ledger: Ledger, row: AttemptInTrial, item: AttemptReport, *, at_end: bool = False) -> Sequence[Point]:
    points = reported.within_names(ledger, item.attempt, row.point_count, reported.reported(item.points))
    return reported.within_limit(ledger, item.attempt, row.trial, row.point_count, points, at_end=at_end)


def progress(
    ledger: Ledger, attempt: str, row: AttemptInTrial, points: Sequence[Point], pruners: PrunerCache
) -> Reason | None:
    """Store points of a live attempt. Return the reason to prune it now, or None."""
    why = pruning.observe(pruners, ledger, attempt, row.trial, row.fold, points)
    reported.append(ledger, attempt, points)
    reported.record(ledger, row.trial, points)
    if why is not None and row.stop_order is None:
        pruning.order_stop(ledger, attempt, why)
    return why


def end(ledger: Ledger, worker: str, item: Finished, pruners: PrunerCache) -> tuple[Result, AttemptState | None]:
    """Apply the end of an attempt of `worker`. Return the acknowledgement's `result`, and the state if it counted."""
    attempt = item.attempt
    row = _own(ledger, attempt, item.token, worker)
    if row is None:
        return "unknown", None
    log_end = append_logs(ledger, attempt, row.trial, row.log_end, item.logs)
    if item.usage or item.wall > usage.LASTING:
        usage.take(ledger, attempt, item.usage, ended=True)
    late = row.state is AttemptState.LOST
    fields = {"id": attempt, "log_end": log_end} | {name: getattr(item, name) for name in _REPORTED_FIELDS}
    if not row.accepts_result:
        ledger.session.run(RECORD_LATE_END, fields)
        return ("ok" if row.state in ENDS_OF_ITS_OWN else "superseded"), None
    points = _points(ledger, row, item, at_end=True)
    pruning.observe(pruners, ledger, attempt, row.trial, row.fold, points)  # later trials are compared with this curve
    verdict = _verdict(ledger, attempt, row, item, points)
    if verdict.cause is Cause.FAIL and not late:
        machines_fault = quarantine.judge(ledger, row.worker, item.tail)
        verdict = AttemptVerdict(Cause.PREEMPT, machines_fault, {}) if machines_fault else verdict
    verdict = _with_more_memory(ledger, row, verdict)
    if late and verdict.cause in (Cause.LOSE, Cause.PRUNE):
        ledger.session.run(RECORD_LATE_END, fields)
        return "ok", None
    state = after(ATTEMPT, row.state, verdict.cause)
    files_message = None
    if state is AttemptState.SUCCEEDED:
        files_message = pending_files.announced(ledger, attempt, row.trial, item.files)
    _write_end(ledger, row, state, verdict.reason, fields | {"started_at": ledger.now - item.wall}, files_message)
    if item.memory:
        killed = verdict.reason is not None and verdict.reason.code is ReasonCode.OUT_OF_MEMORY
        ledger.row.peaks = ledger.row.peaks.with_one_more(item.memory, killed)
    _conclude(ledger, row, verdict, late)
    return "ok", state


def _verdict(
    ledger: Ledger, attempt: str, row: AttemptInTrial, item: Finished, points: Sequence[Point]
) -> AttemptVerdict:
    reason, end_state = item.reason.reason() if item.reason else None, item.state
    several = len(points) > len({point.name for point in points}) or any(p.step is not None for p in points)
    has_others = row.point_count or several or row.resumed_from
    decisive: list[Point] = []
    if has_others:
        reported.append(ledger, attempt, points)
        last = {point.name: point for point in sorted(points, key=lambda point: point.sequence)}
        decisive += [point for point in last.values() if not math.isfinite(point.value)]
        decisive += (
            reported.inherited_not_finite(ledger.session, ledger.row.id, attempt, points) if row.resumed_from else []
        )
        reported.note_not_finite(ledger, attempt, row.non_finite, decisive)
    if row.stop_order == "pruned" and end_state in (EndState.LOST, EndState.PREEMPTED, EndState.CANCELLED):
        end_state, reason = EndState.PRUNED, _ordered_reason(row)
    # These ends may be reported again and again, and need no values: the attempt's points are not read.
    if end_state is EndState.LOST or (end_state is EndState.PRUNED and row.state is AttemptState.LOST):
        return AttemptVerdict(Cause.LOSE, reason, {})
    if end_state in (EndState.PREEMPTED, EndState.CANCELLED):
        return AttemptVerdict(
            Cause.PREEMPT, reason or Reason(ReasonCode.WORKER_STOPPED, "its worker was asked to stop"), {}
        )
    if has_others:
        metrics = ledger.row.specification.metrics
        points = [*reported.points_to_reduce(ledger.session, ledger.row.id, attempt, metrics), *decisive]
        points += reported.http_not_finite(row.non_finite, points)
    measured = measure(ledger.row.specification.metrics, points)
    if end_state is EndState.PRUNED:
        return AttemptVerdict(Cause.PRUNE, reason or _ordered_reason(row), _finite(measured))
    if end_state is EndState.FAILED:
        return AttemptVerdict(Cause.FAIL, reason, measured)
    for metric in ledger.row.specification.metrics:
        if metric.name not in measured:
            reported_values = {name: value.value for name, value in measured.items()}
            declared = tuple(m.name for m in ledger.row.specification.metrics)
            files = [source.where for source in ledger.row.specification.collect if source.kind != "regex"]
            by_function = ledger.row.program is ProgramKind.FUNCTION
            text = stopping.missing_metric(
                metric.name, reported_values, declared, files, of_function=by_function, printed=item.tail
            )
            return AttemptVerdict(Cause.FAIL, Reason(ReasonCode.METRIC_MISSING, text), measured, missing=text)
        if not math.isfinite(measured[metric.name].value):
            text = stopping.not_finite(metric.name, measured[metric.name].value, item.tail)
            return AttemptVerdict(Cause.FAIL, Reason(ReasonCode.METRIC_NOT_FINITE, text), measured)
    return AttemptVerdict(Cause.SUCCEED, None, measured)


def _ordered_reason(row: AttemptInTrial) -> Reason | None:
    return Reason.from_json(json.loads(row.reason)) if row.reason else None


def _finite(measured: Mapping[str, ReducedMetric]) -> dict[str, ReducedMetric]:
    return {name: value for name, value in measured.items() if math.isfinite(value.value)}


def measure(metrics: Sequence[Metric], points: Sequence[Point]) -> dict[str, ReducedMetric]:
    """Return the aggregated value of each reported name."""
    declared = {metric.name: metric for metric in metrics}
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(point.name, []).append(point)
    return {name: reduce(declared.get(name), values) for name, values in by_name.items()}


def _conclude(ledger: Ledger, row: AttemptInTrial, verdict: AttemptVerdict, late: bool) -> None:
    cause, trial, fold = verdict.cause, row.trial, row.fold
    if cause is Cause.PREEMPT:
        if not late:
            requeue.at_once(ledger, row, cause)
            pause_without_progress(ledger, trial, fold)
        return
    if cause is Cause.LOSE:
        requeue.after_failed_start(ledger, row, verdict.reason)
        return
    if verdict.memory:
        raise_memory(ledger, trial, fold, verdict.memory)
        if not late:
            requeue.at_once(ledger, row, Cause.RETRY)
        return
    has_retries = row.failures < ledger.row.specification.retries and row.stop_order != "pruned"
    if cause is Cause.FAIL and has_retries and not applies(ledger, verdict.reason):
        if not late:
            requeue.after_failure(ledger, row)
        return
    trials.change_fold(ledger, trial, fold, row.fold_state, cause, failures=row.failures)
    old = row.trial_state
    if ledger.row.specification.folds.count == 1:
        trials.finish(ledger, trial, old, cause, verdict.reason, verdict.measured, verdict.missing)
    elif cause is Cause.SUCCEED:
        folds.done(ledger, trial, fold, old, verdict.measured)
    else:
        folds.ended(ledger, trial, old, cause, verdict.reason, verdict.measured, verdict.missing)


def _with_more_memory(ledger: Ledger, row: AttemptInTrial, verdict: AttemptVerdict) -> AttemptVerdict:
    if row.stop_order == "pruned":
        return verdict
    if verdict.cause is not Cause.FAIL or verdict.reason is None or not applies(ledger, verdict.reason):
        return verdict
    raised = consider(ledger, row.worker, row.trial, row.fold, verdict.reason)
    return replace(verdict, reason=raised.reason, memory=raised.memory)


def lose(ledger: Ledger, attempt: str, reason: Reason, *, reached: bool = True) -> None:
    """Requeue the fold of a live attempt whose worker is lost or never got the lease; no retry is consumed.

    A lease that reached its worker counts as a loss of the trial even if no start was reported, since a command may
    kill its worker at once. A lease that never `reached` a worker says nothing about the trial.
    """
    row = None if _prune(ledger, attempt) else _close(ledger, attempt, Cause.LOSE, reason)
    if row is None:
        return
    if reached:
        requeue.after_loss(ledger, row, reason.message)
    else:
        requeue.at_once(ledger, row, Cause.LOSE)


def reject(ledger: Ledger, worker: str, attempt: str, token: int, reason: Reason) -> None:
    """End a live attempt whose worker sent an invalid report, and requeue the fold; no retry is consumed.

    Reports with a stale token (of a replaced attempt) or from another worker are ignored.
    """
    if _own(ledger, attempt, token, worker) is not None:
        lose(ledger, attempt, reason)


def preempt(ledger: Ledger, attempt: str, reason: Reason) -> None:
    """Requeue the fold of a live attempt whose worker was preempted; no failure or loss is counted."""
    row = None if _prune(ledger, attempt) else _close(ledger, attempt, Cause.PREEMPT, reason)
    if row is not None:
        requeue.at_once(ledger, row, Cause.PREEMPT)
        pause_without_progress(ledger, row.trial, row.fold)


def fail_lost(ledger: Ledger, attempt: str, reason: Reason) -> None:
    """Fail a live attempt whose worker was lost through the fault of the trial."""
    row = None if _prune(ledger, attempt) else find(ledger, attempt)
    if row is None:
        return
    verdict = _with_more_memory(ledger, row, AttemptVerdict(Cause.FAIL, reason, {}))
    if _close(ledger, attempt, Cause.FAIL, verdict.reason or reason) is not None:
        _conclude(ledger, row, verdict, late=False)


def _prune(ledger: Ledger, attempt: str) -> bool:
    """End a live attempt without a worker as pruned if that was ordered; return True if it was."""
    row = find(ledger, attempt)
    if row is None or not row.state.live or row.stop_order != "pruned":
        return False
    reason = _ordered_reason(row) or Reason(ReasonCode.PRUNED, "pruned by its early stopping rule")
    _close(ledger, attempt, Cause.PRUNE, reason)
    metrics = ledger.row.specification.metrics
    measured = measure(metrics, reported.points_to_reduce(ledger.session, ledger.row.id, attempt, metrics))
    _conclude(ledger, row, AttemptVerdict(Cause.PRUNE, reason, measured), late=False)
    return True


def _close(ledger: Ledger, attempt: str, cause: Cause, reason: Reason) -> AttemptInTrial | None:
    """End a live attempt whose worker reports no more. Return None if it is not live."""
    row = find(ledger, attempt)
    if row is None or not row.state.live:
        return None
    fields = dict.fromkeys(_REPORTED_FIELDS) | {"id": attempt, "log_end": row.log_end, "started_at": row.started_at}
    _write_end(ledger, row, after(ATTEMPT, row.state, cause), reason, fields)
    return row


def _write_end(
    ledger: Ledger,
    row: AttemptInTrial,
    state: AttemptState,
    reason: Reason | None,
    fields: Mapping[str, Any],
    files_message: str | None = None,
) -> None:
    """Write the end of an attempt with the reported fields `fields`; `files_message` describes pending uploads."""
    reason_json = reason.to_json() if reason else None
    values = {"old": row.state, "state": state, "now": ledger.now}
    values |= {"files_state": "uploading" if files_message else None, "files_message": files_message}
    values["reason"] = json.dumps(reason_json) if reason_json else None
    if ledger.session.run(END_ATTEMPT, {**fields, **values}) != 1:
        raise InvalidTransition(f"attempt {fields['id']} is no longer {row.state}")
    if row.state.live:
        ledger.row.live_attempts -= 1
    data = {"attempt": fields["id"], "trial": row.trial, "fold": row.fold, "state": state, "reason": reason_json}
    ledger.record("attempt_ended", data)
