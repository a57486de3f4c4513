"""State machines of trials, folds, attempts and workers, and the derived state of experiments; defined only here.

Each machine maps (state, cause) to the next state. A cause that is not listed for a state raises `InvalidTransition`.
The store applies a transition as a compare-and-set on the old state, so that of two causes that race the first one
wins and the other is rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from orchestune.domain.lifecycle.states import (
    AttemptState,
    Desired,
    ExperimentState,
    FoldState,
    TrialState,
    WorkerState,
)
from orchestune.errors import Conflict

S = TypeVar("S", bound=StrEnum)


class Cause(StrEnum):
    """Event that triggers a transition; the label of the arrow in the diagrams."""

    LEASE = "lease"
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    PRUNE = "prune"
    LOSE = "lose"
    PREEMPT = "preempt"
    CANCEL = "cancel"
    RETRY = "retry"
    CONTINUE = "continue"
    """a fold of a trial ended or was requeued, while others are done or running"""
    REGISTER = "register"
    DRAIN = "drain"
    END = "end"
    MOVE = "move"
    """a worker without work left for its experiment is assigned to another one"""


class InvalidTransition(Conflict):
    """The state machine has no such transition."""

    code = "forbidden_transition"


_A = AttemptState
ATTEMPT: Mapping[tuple[AttemptState, Cause], AttemptState] = {
    (_A.LEASED, Cause.START): _A.RUNNING,
    # a short command may end before its start is reported
    (_A.LEASED, Cause.SUCCEED): _A.SUCCEEDED,
    (_A.LEASED, Cause.FAIL): _A.FAILED,
    (_A.LEASED, Cause.PRUNE): _A.PRUNED,
    (_A.LEASED, Cause.LOSE): _A.LOST,
    (_A.LEASED, Cause.PREEMPT): _A.PREEMPTED,
    (_A.LEASED, Cause.CANCEL): _A.CANCELLED,
    (_A.RUNNING, Cause.SUCCEED): _A.SUCCEEDED,
    (_A.RUNNING, Cause.FAIL): _A.FAILED,
    (_A.RUNNING, Cause.PRUNE): _A.PRUNED,
    (_A.RUNNING, Cause.LOSE): _A.LOST,
    (_A.RUNNING, Cause.PREEMPT): _A.PREEMPTED,
    (_A.RUNNING, Cause.CANCEL): _A.CANCELLED,
    # late results count until a newer attempt of the fold is leased, as decided by the fencing token
    (_A.LOST, Cause.SUCCEED): _A.SUCCEEDED,
    (_A.LOST, Cause.FAIL): _A.FAILED,
    (_A.LOST, Cause.PREEMPT): _A.PREEMPTED,
}

_T = FoldState
FOLD: Mapping[tuple[FoldState, Cause], FoldState] = {
    (_T.PENDING, Cause.LEASE): _T.ACTIVE,
    (_T.PENDING, Cause.CANCEL): _T.CANCELLED,
    (_T.PENDING, Cause.SUCCEED): _T.DONE,  # late result of the lost attempt
    (_T.PENDING, Cause.FAIL): _T.FAILED,
    (_T.ACTIVE, Cause.SUCCEED): _T.DONE,
    (_T.ACTIVE, Cause.FAIL): _T.FAILED,
    (_T.ACTIVE, Cause.LOSE): _T.PENDING,
    (_T.ACTIVE, Cause.PREEMPT): _T.PENDING,
    (_T.ACTIVE, Cause.RETRY): _T.PENDING,
    (_T.ACTIVE, Cause.CANCEL): _T.CANCELLED,
    (_T.ACTIVE, Cause.PRUNE): _T.CANCELLED,
}

_R = TrialState
TRIAL: Mapping[tuple[TrialState, Cause], TrialState] = {
    (_R.QUEUED, Cause.LEASE): _R.RUNNING,
    (_R.QUEUED, Cause.CONTINUE): _R.RUNNING,  # late result of one fold
    (_R.QUEUED, Cause.SUCCEED): _R.COMPLETED,
    (_R.QUEUED, Cause.FAIL): _R.FAILED,
    (_R.QUEUED, Cause.PRUNE): _R.PRUNED,  # due to a late result of one fold
    (_R.QUEUED, Cause.CANCEL): _R.CANCELLED,
    (_R.RUNNING, Cause.LEASE): _R.RUNNING,
    (_R.RUNNING, Cause.CONTINUE): _R.RUNNING,
    (_R.RUNNING, Cause.SUCCEED): _R.COMPLETED,
    (_R.RUNNING, Cause.FAIL): _R.FAILED,
    (_R.RUNNING, Cause.PRUNE): _R.PRUNED,
    (_R.RUNNING, Cause.LOSE): _R.QUEUED,
    (_R.RUNNING, Cause.PREEMPT): _R.QUEUED,
    (_R.RUNNING, Cause.RETRY): _R.QUEUED,
    (_R.RUNNING, Cause.CANCEL): _R.CANCELLED,
}

_W = WorkerState
WORKER: Mapping[tuple[WorkerState, Cause], WorkerState] = {
    (_W.STARTING, Cause.REGISTER): _W.ALIVE,
    (_W.STARTING, Cause.LOSE): _W.LOST,
    (_W.STARTING, Cause.DRAIN): _W.DRAINING,
    (_W.STARTING, Cause.END): _W.ENDED,
    (_W.ALIVE, Cause.REGISTER): _W.ALIVE,
    (_W.ALIVE, Cause.DRAIN): _W.DRAINING,
    (_W.ALIVE, Cause.LOSE): _W.LOST,
    (_W.ALIVE, Cause.END): _W.ENDED,
    (_W.DRAINING, Cause.REGISTER): _W.DRAINING,
    (_W.DRAINING, Cause.LOSE): _W.LOST,
    (_W.DRAINING, Cause.END): _W.ENDED,
    (_W.DRAINING, Cause.MOVE): _W.STARTING,
    (_W.LOST, Cause.REGISTER): _W.ALIVE,  # it was frozen or disconnected, and has returned
    (_W.LOST, Cause.END): _W.ENDED,
}

MACHINES: Mapping[str, Mapping[tuple[StrEnum, Cause], StrEnum]] = {
    "trial": TRIAL,  # type: ignore[dict-item]
    "fold": FOLD,  # type: ignore[dict-item]
    "attempt": ATTEMPT,  # type: ignore[dict-item]
    "worker": WORKER,  # type: ignore[dict-item]
}


def after(table: Mapping[tuple[S, Cause], S], state: S, cause: Cause) -> S:
    """Return the next state. Raises InvalidTransition if the table has no such transition."""
    try:
        return table[state, cause]
    except KeyError:
        kind = type(state).__name__.removesuffix("State").lower()
        raise InvalidTransition(f"a {kind} that is {state} cannot {cause}") from None


def trial_state(folds: Iterable[FoldState]) -> TrialState:
    """Return the state of a trial that was not pruned or cancelled, from the states of its folds (one per fold)."""
    states = list(folds)
    if FoldState.FAILED in states:
        return TrialState.FAILED
    if all(state is FoldState.DONE for state in states):
        return TrialState.COMPLETED
    if all(state is FoldState.CANCELLED for state in states):
        return TrialState.CANCELLED
    if FoldState.ACTIVE in states or FoldState.DONE in states:
        return TrialState.RUNNING
    return TrialState.QUEUED


_X = ExperimentState
EXPERIMENT: Mapping[tuple[Desired, bool, bool], ExperimentState] = {
    # (desired, has live attempts, ended by its budget or a stop rule) → observed
    (Desired.RUNNING, False, False): _X.PENDING,
    (Desired.RUNNING, True, False): _X.RUNNING,
    (Desired.RUNNING, True, True): _X.STOPPING,
    (Desired.RUNNING, False, True): _X.COMPLETED,
    (Desired.PAUSED, False, False): _X.PAUSED,
    (Desired.PAUSED, True, False): _X.PAUSED,
    (Desired.PAUSED, True, True): _X.STOPPING,
    (Desired.PAUSED, False, True): _X.COMPLETED,
    (Desired.STOPPED, True, False): _X.STOPPING,
    (Desired.STOPPED, False, False): _X.STOPPED,
    (Desired.STOPPED, True, True): _X.STOPPING,
    (Desired.STOPPED, False, True): _X.COMPLETED,
}


def experiment_state(desired: Desired, *, live: bool, ended: bool, failed: bool, started: bool) -> ExperimentState:
    """Return the observed state of an experiment from its desired state and its progress.

    `live`: an attempt holds a lease; `ended`: its budget is spent or a stop rule holds; `failed`: that rule
    means failure (`max_failures`), or all trials failed; `started`: at least one attempt has been leased.
    """
    state = EXPERIMENT[desired, live, ended]
    if state is _X.COMPLETED and failed:
        return _X.FAILED
    if state is _X.PENDING and started:
        return _X.RUNNING
    return state
