"""State changes of trials and folds: queue, requeue, finish, cancel, lose. Callers hold the ledger's lock."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.domain.lifecycle.states import AttemptState, FoldState, Reason, ReasonCode, TrialState
from orchestune.domain.lifecycle.transitions import ATTEMPT, FOLD, TRIAL, Cause, InvalidTransition, after
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import ask_seed
from orchestune.domain.specification import stopping
from orchestune.domain.specification.metrics import ReducedMetric, feasible, objectives
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store import changes
from orchestune.store import trials as rows
from orchestune.store.statements.trials import (
    CHANGE_FOLD,
    FINISH_TRIAL,
    INSERT_FOLD,
    INSERT_METRIC,
    INSERT_TRIAL,
    START_TRIAL,
)


@dataclass(frozen=True)
class SuggestedTrial:
    """Configuration to try, and its origin."""

    parameters: Configuration
    source: str
    engine_version: str | None = None
    suggested_after: int | None = None
    parent: int | None = None
    seed: int | None = None
    checkpoint: Mapping[str, Any] | None = None


def count(ledger: Ledger, old: TrialState | None, new: TrialState) -> None:
    """Update the experiment's counters for a state change; they are named like the states. `old` None: a new trial."""
    row = ledger.row
    if old is not None:
        setattr(row, old.value, getattr(row, old.value) - 1)
    setattr(row, new.value, getattr(row, new.value) + 1)


def queue(ledger: Ledger, suggestions: Sequence[SuggestedTrial]) -> list[int]:
    """Append trials to the queue and return their numbers. The caller has checked the budget."""
    row, experiment = ledger.row, ledger.row.id
    seed, folds = row.specification.seed, row.specification.folds.count
    trials: list[dict[str, Any]] = []
    rows_of_folds: list[dict[str, Any]] = []
    for suggestion in suggestions:
        row.last_trial += 1
        number = row.last_trial
        trials.append(
            {
                "experiment": experiment,
                "number": number,
                "state": TrialState.QUEUED,
                "parameters": json.dumps(dict(suggestion.parameters)),
                "source": suggestion.source,
                "engine_version": suggestion.engine_version,
                "suggested_after": suggestion.suggested_after,
                "parent": suggestion.parent,
                "seed": ask_seed(seed, number) if suggestion.seed is None else suggestion.seed,
                "bundle": row.bundle,
                "revision": row.revision,
                "checkpoint": json.dumps(suggestion.checkpoint) if suggestion.checkpoint else None,
                "created_at": ledger.now,
            }
        )
        for fold in range(folds):
            rows_of_folds.append({"experiment": experiment, "trial": number, "fold": fold, "state": FoldState.PENDING})
        count(ledger, None, TrialState.QUEUED)
        ledger.record("trial_queued", {"trial": number, "source": suggestion.source})
    ledger.session.many(INSERT_TRIAL, trials)
    ledger.session.many(INSERT_FOLD, rows_of_folds)
    row.pending_folds += len(rows_of_folds)
    return [trial["number"] for trial in trials]


def requeue_cancelled(ledger: Ledger) -> None:
    """Requeue, as new trials, those that users chose and that a stop of the experiment cancelled, within the budget."""
    row = ledger.row
    stopped = rows.stopped_with_all(ledger.session, row.id)
    again = [
        SuggestedTrial(
            parameters=json.loads(trial.parameters),
            source=trial.source,
            parent=trial.number if trial.parent is None else trial.parent,
            seed=trial.seed,
            checkpoint=json.loads(trial.initial_checkpoint) if trial.initial_checkpoint else None,
        )
        for trial in stopped
    ]
    queue(ledger, again[: row.unsuggested])


def change_fold(ledger: Ledger, trial: int, fold: int, old: FoldState, cause: Cause, **values: Any) -> None:
    """Apply `cause` to a fold by the table `FOLD`; `values` may set not_before, failures, is_isolated.

    Raises InvalidTransition if the fold is no longer in state `old` or the table has no such change.
    """
    parameters = {"not_before": 0.0, "failures": 0, "is_isolated": False} | values
    parameters |= {"experiment": ledger.row.id, "trial": trial, "fold": fold, "old": old}
    state = after(FOLD, old, cause)
    if ledger.session.run(CHANGE_FOLD, parameters | {"state": state}) != 1:
        raise InvalidTransition(f"the fold of trial {trial} is no longer {old}")
    ledger.row.pending_folds += (state is FoldState.PENDING) - (old is FoldState.PENDING)


def keep_running(ledger: Ledger, number: int, old: TrialState) -> None:
    """Keep a trial running after one of its folds is done and others are not."""
    new = after(TRIAL, old, Cause.CONTINUE)
    if new is old:
        return
    where = {"experiment": ledger.row.id, "number": number, "old": old, "state": new, "now": ledger.now}
    if ledger.session.run(START_TRIAL, where) != 1:
        raise InvalidTransition(f"trial {number} is no longer {old}")
    count(ledger, old, new)


def finish(
    ledger: Ledger,
    number: int,
    old: TrialState,
    cause: Cause,
    reason: Reason | None,
    measured: Mapping[str, ReducedMetric],
    missing: str | None = None,
) -> None:
    """Finish a trial: write its state, metrics and position in the history; apply the stop rules and the guards.

    The incumbent is updated, too.
    """
    row = ledger.row
    state = after(TRIAL, old, cause)
    row.history_seq += 1
    changed = ledger.session.run(
        FINISH_TRIAL,
        {
            "experiment": row.id,
            "number": number,
            "old": old,
            "state": state,
            "reason": json.dumps(reason.to_json()) if reason else None,
            "history_seq": row.history_seq,
            "now": ledger.now,
        },
    )
    if changed != 1:
        raise InvalidTransition(f"trial {number} is no longer {old}")
    count(ledger, old, state)
    declared = {metric.name for metric in row.specification.metrics}
    ledger.session.many(
        INSERT_METRIC,
        [
            {
                "experiment": row.id,
                "trial": number,
                "name": name,
                "value": value.value,
                "stddev": value.stddev,
                "is_declared": name in declared,
            }
            for name, value in measured.items()
            if math.isfinite(value.value)
        ],
    )
    _note_best(ledger, number, state, measured)
    ledger.record(
        "trial_finished",
        {
            "trial": number,
            "state": state,
            "reason": reason.to_json() if reason else None,
            # The trial has the others, of which a program chooses the number and names.
            "metrics": {
                name: value.value for name, value in measured.items() if name in declared and math.isfinite(value.value)
            },
        },
    )
    ledger.evaluate()
    if row.ended_by is None:
        _guard(ledger, reason, missing)


def _note_best(ledger: Ledger, number: int, state: TrialState, measured: Mapping[str, ReducedMetric]) -> None:
    row, objective = ledger.row, ledger.row.specification.objective
    row.trials_since_best += 1
    if state is not TrialState.COMPLETED:
        return
    value = measured[objective.name].value
    is_feasible = feasible(row.specification.metrics, {name: metric.value for name, metric in measured.items()})
    if is_feasible and objective.better(value, row.best_value):
        row.best_trial, row.best_value, row.trials_since_best = number, value, 0
    elif is_feasible and row.specification.stop.patience is not None and _front_grew(ledger, number, measured):
        row.trials_since_best = 0
    if row.identical_count == row.completed - 1:  # all completed trials before had the same values
        values = [(name, measured[name].value) for name in sorted(measured)]
        digest = hashlib.blake2b(repr(values).encode(), digest_size=12).hexdigest()
        if row.completed == 1 or row.identical_digest == digest:
            row.identical_digest, row.identical_count = digest, row.completed


def _front_grew(ledger: Ledger, number: int, measured: Mapping[str, ReducedMetric]) -> bool:
    """Return True if a feasible trial joins the Pareto front; False with a single objective."""
    metrics = ledger.row.specification.metrics
    values = {metric.name: measured[metric.name].value for metric in objectives(metrics)}
    return len(values) > 1 and not rows.dominated(ledger.session, ledger.row.id, metrics, number, values)


def _guard(ledger: Ledger, reason: Reason | None, missing: str | None) -> None:
    row = ledger.row
    if row.completed > 5 and row.identical_count < row.completed:
        return  # fast path for the usual case: no guard can fire any more
    outcomes = stopping.GuardTrip(
        completed=row.completed,
        failed=row.failed,
        finished=row.finished,
        same_count=row.identical_count,
        metric_missing=missing,
        last_failure=reason.message if reason else "",
        configurations=row.specification.space.size(),
    )
    reason_to_pause = stopping.guard(outcomes, row.waived_guards)
    if reason_to_pause:
        ledger.pause(reason_to_pause)


def cancel_open(ledger: Ledger, reason: Reason | None = None) -> None:
    """Cancel all open trials, their folds and their attempts; workers get the stop orders at their next call.

    `reason`: defaults to the reason of the experiment's end.
    """
    reason = reason or ledger.row.reason or Reason(ReasonCode.CANCELLED, "the experiment is over")
    _cancel_folds(ledger, None, reason)
    _cancel_trials(ledger, None, reason)
    ledger.to_be_cancelled = False


def cancel(ledger: Ledger, number: int, old: TrialState, reason: Reason) -> None:
    """Cancel one open trial, its folds and its attempts."""
    cancel_folds(ledger, number, reason)
    if not _cancel_trials(ledger, number, reason):
        raise InvalidTransition(f"trial {number} is no longer {old}")


def _cancel_trials(ledger: Ledger, number: int | None, reason: Reason) -> int:
    """Cancel all open trials, or one if it is open, without their folds; return how many."""
    session, row = ledger.session, ledger.row
    where = {"experiment": row.id, "trial": number}
    open_trials = session.rows(changes.OPEN_TRIALS if number is None else changes.OPEN_TRIAL, where)
    if not open_trials:
        return 0
    document, new = reason.to_json(), TrialState.CANCELLED
    statement = changes.CANCEL_TRIALS if number is None else changes.CANCEL_TRIAL
    session.run(statement, where | {"state": new, "reason": json.dumps(document), "now": ledger.now})
    for trial in open_trials:
        count(ledger, TrialState(trial.state), after(TRIAL, TrialState(trial.state), Cause.CANCEL))
        ledger.record("trial_finished", {"trial": trial.number, "state": new, "reason": document, "metrics": {}})
    row.is_exhausted = False  # their configurations were not tried
    return len(open_trials)


def cancel_folds(ledger: Ledger, trial: int, reason: Reason) -> None:
    """Cancel the open folds of a trial and their attempts, because its outcome is known without them."""
    _cancel_folds(ledger, trial, reason)


def _cancel_folds(ledger: Ledger, trial: int | None, reason: Reason) -> None:
    """Cancel the open folds of all trials, or of one, and their attempts."""
    session, row, is_all = ledger.session, ledger.row, trial is None
    where = {"experiment": row.id, "trial": trial}
    live = session.rows(changes.LIVE_ATTEMPTS if is_all else changes.LIVE_ATTEMPTS_OF_TRIAL, where)
    if live:
        statement = changes.CANCEL_ATTEMPTS if is_all else changes.CANCEL_ATTEMPTS_OF_TRIAL
        values = {"state": AttemptState.CANCELLED, "reason": json.dumps(reason.to_json()), "now": ledger.now}
        session.run(statement, where | values)
        ledger.awaits_workers()
        ledger.note_stop_order()
    for attempt in live:
        state = after(ATTEMPT, AttemptState(attempt.state), Cause.CANCEL)
        row.live_attempts -= 1
        data = {"attempt": attempt.id, "trial": attempt.trial, "fold": attempt.fold, "state": state}
        ledger.record("attempt_ended", data)
    pending = session.row(changes.PENDING_COUNT if is_all else changes.PENDING_COUNT_OF_TRIAL, where) or 0
    session.run(
        changes.CANCEL_FOLDS if is_all else changes.CANCEL_FOLDS_OF_TRIAL, where | {"state": FoldState.CANCELLED}
    )
    row.pending_folds -= pending
