"""Requeue the fold of an attempt that ended without an outcome, and pause the experiment after too many losses.

`attempts` decides that an attempt is lost, preempted or retried; here stands when its fold may be leased again, and
what it costs. All functions run under the ledger's lock.
"""

from __future__ import annotations

from msgspec import structs

from orchestune.domain.lifecycle.states import FoldState, Reason, ReasonCode, TrialState
from orchestune.domain.lifecycle.transitions import TRIAL, Cause, InvalidTransition, after, trial_state
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store.statements.attempts import AttemptInTrial
from orchestune.store.statements.trials import REQUEUE_TRIAL, STATES_OF_FOLDS

RETRY_SECONDS = 2.0
"""seconds before the first retry of a failed attempt; doubles with each failure"""
MAX_DELAY_SECONDS = 60.0
"""seconds; upper bound of the backoff before a failed or lost attempt is retried"""
FAILED_STARTS_BEFORE_PAUSE = 5
LOSSES_BEFORE_ISOLATION = 3
LOSSES_IN_ISOLATION = 2


def at_once(ledger: Ledger, row: AttemptInTrial, cause: Cause) -> None:
    """Requeue the fold without a delay; nothing is counted."""
    _requeue(ledger, row, cause)


def after_failure(ledger: Ledger, row: AttemptInTrial) -> None:
    """Requeue the fold of a failed attempt: consume a retry, and delay the next attempt longer after each failure."""
    delay = min(RETRY_SECONDS * 2**row.failures, MAX_DELAY_SECONDS)
    _requeue(ledger, structs.replace(row, failures=row.failures + 1), Cause.RETRY, ledger.now + delay)


def after_failed_start(ledger: Ledger, row: AttemptInTrial, reason: Reason | None) -> None:
    """Requeue the fold of an attempt whose worker could not start the command, with backoff.

    After `FAILED_STARTS_BEFORE_PAUSE` losses the experiment is paused.
    """
    losses = row.lost_attempts + 1
    delay = min(2.0**losses, MAX_DELAY_SECONDS)
    _requeue(ledger, structs.replace(row, lost_attempts=losses), Cause.LOSE, ledger.now + delay)
    if losses >= FAILED_STARTS_BEFORE_PAUSE:
        last = reason.message if reason else "for an unknown reason"
        text = f"trial {row.trial} could not be started {losses} times; the last time: {last}"
        ledger.pause(Reason(ReasonCode.WORKERS_FAIL, text))


def after_loss(ledger: Ledger, row: AttemptInTrial, why: str) -> None:
    """Requeue the fold of an attempt whose worker was lost. `why`: how the worker was lost, for display.

    After `LOSSES_BEFORE_ISOLATION` losses the trial runs in isolation; after `LOSSES_IN_ISOLATION` more the experiment
    is paused.
    """
    losses = row.lost_attempts + 1
    is_alone = losses >= LOSSES_BEFORE_ISOLATION
    _requeue(ledger, structs.replace(row, lost_attempts=losses, is_isolated=is_alone), Cause.LOSE)
    if row.is_isolated and losses >= LOSSES_BEFORE_ISOLATION + LOSSES_IN_ISOLATION:
        text = f"trial {row.trial} lost its worker {losses} times, "
        text += f"the last {LOSSES_IN_ISOLATION} times while running alone"
        if "exit code" not in why:  # a worker that exits by itself reports the cause; one that is killed cannot
            text += "; does it use too much memory, or kill its parent process?"
        text += f"\nThe last time: {why}"
        ledger.pause(Reason(ReasonCode.TRIAL_KILLS_WORKERS, text))


def _requeue(ledger: Ledger, row: AttemptInTrial, cause: Cause, not_before: float = 0.0) -> None:
    """Requeue the fold with the counters of `row`. The trial keeps running if other folds are active."""
    trials.change_fold(
        ledger, row.trial, row.fold, row.fold_state, cause,
        not_before=not_before, failures=row.failures, is_isolated=row.is_isolated,
    )  # fmt: skip
    is_running = ledger.row.specification.folds.count > 1 and _others_run(ledger, row.trial)
    old = row.trial_state
    new = after(TRIAL, old, Cause.CONTINUE if is_running else cause)
    parameters = {"experiment": ledger.row.id, "number": row.trial, "old": old, "state": new}
    parameters |= {"lost_attempts": row.lost_attempts, "is_isolated": row.is_isolated}
    if ledger.session.run(REQUEUE_TRIAL, parameters) != 1:
        raise InvalidTransition(f"trial {row.trial} is no longer {old}")
    trials.count(ledger, old, new)
    ledger.record("trial_requeued", {"trial": row.trial, "cause": cause})


def _others_run(ledger: Ledger, number: int) -> bool:
    states = ledger.session.rows(STATES_OF_FOLDS, {"experiment": ledger.row.id, "trial": number})
    return trial_state(map(FoldState, states)) is TrialState.RUNNING
