"""The table of state changes, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import TypeVar

import pytest

from orchestune.domain.lifecycle.states import (
    AttemptState,
    Desired,
    ExperimentState,
    FoldState,
    TrialState,
    WorkerState,
)
from orchestune.domain.lifecycle.transitions import (
    ATTEMPT,
    FOLD,
    MACHINES,
    TRIAL,
    WORKER,
    Cause,
    InvalidTransition,
    after,
    experiment_state,
    trial_state,
)

S = TypeVar("S", bound=StrEnum)


def changes(table: Mapping[tuple[S, Cause], S], state: S) -> dict[Cause, S]:
    """Return what each cause makes of a state."""
    return {cause: following for (old, cause), following in table.items() if old is state}


def test_a_change_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(InvalidTransition, match="a attempt that is succeeded cannot lose") as failure:
        after(ATTEMPT, AttemptState.SUCCEEDED, Cause.LOSE)
    assert failure.value.code == "forbidden_transition"


def test_an_attempt_that_holds_a_lease_ends_as_its_cause_says() -> None:
    ends = {
        Cause.SUCCEED: AttemptState.SUCCEEDED,
        Cause.FAIL: AttemptState.FAILED,
        Cause.PRUNE: AttemptState.PRUNED,
        Cause.LOSE: AttemptState.LOST,
        Cause.PREEMPT: AttemptState.PREEMPTED,
        Cause.CANCEL: AttemptState.CANCELLED,
    }
    assert changes(ATTEMPT, AttemptState.RUNNING) == ends
    assert changes(ATTEMPT, AttemptState.LEASED) == ends | {Cause.START: AttemptState.RUNNING}


def test_the_end_of_a_lost_attempt_may_come_late() -> None:
    assert changes(ATTEMPT, AttemptState.LOST) == {
        Cause.SUCCEED: AttemptState.SUCCEEDED,
        Cause.FAIL: AttemptState.FAILED,
        Cause.PREEMPT: AttemptState.PREEMPTED,
    }


def test_a_task_takes_the_outcome_of_its_attempt_or_waits_for_another_one() -> None:
    outcomes = {Cause.SUCCEED: FoldState.DONE, Cause.FAIL: FoldState.FAILED, Cause.CANCEL: FoldState.CANCELLED}
    without_outcome = dict.fromkeys((Cause.LOSE, Cause.PREEMPT, Cause.RETRY), FoldState.PENDING)
    assert changes(FOLD, FoldState.ACTIVE) == outcomes | without_outcome | {Cause.PRUNE: FoldState.CANCELLED}
    assert changes(FOLD, FoldState.PENDING) == outcomes | {Cause.LEASE: FoldState.ACTIVE}, "or takes a late one"


def test_a_fold_that_waits_is_not_pruned_by_the_late_end_of_a_lost_attempt() -> None:
    with pytest.raises(InvalidTransition, match="a fold that is pending cannot prune"):
        after(FOLD, FoldState.PENDING, Cause.PRUNE)


def test_a_trial_takes_an_outcome_at_any_time_and_waits_for_another_attempt_if_it_has_none() -> None:
    outcomes = {
        Cause.SUCCEED: TrialState.COMPLETED,
        Cause.FAIL: TrialState.FAILED,
        Cause.PRUNE: TrialState.PRUNED,
        Cause.CANCEL: TrialState.CANCELLED,
    }
    goes_on = dict.fromkeys((Cause.LEASE, Cause.CONTINUE), TrialState.RUNNING)
    without_outcome = dict.fromkeys((Cause.LOSE, Cause.PREEMPT, Cause.RETRY), TrialState.QUEUED)
    assert changes(TRIAL, TrialState.QUEUED) == outcomes | goes_on
    assert changes(TRIAL, TrialState.RUNNING) == outcomes | goes_on | without_outcome


def test_a_worker_that_registers_is_alive_unless_it_drains() -> None:
    goes = {Cause.LOSE: WorkerState.LOST, Cause.END: WorkerState.ENDED}
    drains = {Cause.DRAIN: WorkerState.DRAINING}
    for state in (WorkerState.STARTING, WorkerState.ALIVE):
        assert changes(WORKER, state) == goes | drains | {Cause.REGISTER: WorkerState.ALIVE}
    moves = {Cause.MOVE: WorkerState.STARTING}
    assert changes(WORKER, WorkerState.DRAINING) == goes | moves | {Cause.REGISTER: WorkerState.DRAINING}


def test_a_lost_worker_comes_back_or_has_ended() -> None:
    assert changes(WORKER, WorkerState.LOST) == {Cause.REGISTER: WorkerState.ALIVE, Cause.END: WorkerState.ENDED}
    assert changes(WORKER, WorkerState.ENDED) == {}


def test_causes_are_written_as_they_are_named() -> None:
    assert [cause.value for cause in Cause] == [cause.name.lower() for cause in Cause]


def test_each_machine_has_the_states_of_its_name() -> None:
    kinds = {"trial": TrialState, "fold": FoldState, "attempt": AttemptState, "worker": WorkerState}
    assert {name: type(next(iter(table))[0]) for name, table in MACHINES.items()} == kinds


def test_what_is_over_stays_over() -> None:
    assert not [state for state, _ in TRIAL if state.over]
    assert {state for state, _ in ATTEMPT if not state.live} == {AttemptState.LOST}


def test_every_state_of_every_machine_can_be_reached_or_is_where_it_starts() -> None:
    for name, table in MACHINES.items():
        reached = set(table.values())
        states = set(type(next(iter(table))[0]))
        assert states - reached == ({AttemptState.LEASED} if table is ATTEMPT else set()), name


@pytest.mark.parametrize(
    ("folds", "state"),
    [
        ([FoldState.PENDING, FoldState.PENDING], TrialState.QUEUED),
        ([FoldState.DONE, FoldState.PENDING], TrialState.RUNNING),
        ([FoldState.ACTIVE], TrialState.RUNNING),
        ([FoldState.DONE, FoldState.FAILED], TrialState.FAILED),
        ([FoldState.DONE, FoldState.DONE], TrialState.COMPLETED),
        ([FoldState.CANCELLED], TrialState.CANCELLED),
    ],
)
def test_a_trial_is_what_its_folds_make_of_it(folds: list[FoldState], state: TrialState) -> None:
    assert trial_state(folds) is state


@pytest.mark.parametrize("desired", Desired)
def test_an_experiment_that_has_ended_stops_and_then_is_what_came_of_it(desired: Desired) -> None:
    for started in (False, True):
        for failed, state in ((False, ExperimentState.COMPLETED), (True, ExperimentState.FAILED)):
            ended = {"ended": True, "failed": failed, "started": started}
            assert experiment_state(desired, live=True, **ended) is ExperimentState.STOPPING
            assert experiment_state(desired, live=False, **ended) is state


def test_an_experiment_that_has_not_ended_is_what_its_owner_wants() -> None:
    for failed, started in product((False, True), repeat=2):
        states = {
            (desired, live): experiment_state(desired, live=live, ended=False, failed=failed, started=started)
            for desired, live in product(Desired, (False, True))
        }
        assert states == {
            (Desired.RUNNING, False): ExperimentState.RUNNING if started else ExperimentState.PENDING,
            (Desired.RUNNING, True): ExperimentState.RUNNING,
            (Desired.PAUSED, False): ExperimentState.PAUSED,
            (Desired.PAUSED, True): ExperimentState.PAUSED,
            (Desired.STOPPED, False): ExperimentState.STOPPED,
            (Desired.STOPPED, True): ExperimentState.STOPPING,
        }
