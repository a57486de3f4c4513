"""The table of state changes, and what follows from it."""

from __future__ import annotations

import pytest

from orchestune.domain.states import AttemptState, Desired, ExperimentState, TaskState, TrialState
from orchestune.domain.transitions import (
    ATTEMPT,
    MACHINES,
    TRIAL,
    Cause,
    Forbidden,
    after,
    experiment_state,
    trial_state,
)


def test_a_change_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(Forbidden, match="a attempt that is succeeded cannot lose"):
        after(ATTEMPT, AttemptState.SUCCEEDED, Cause.LOSE)


def test_what_is_over_stays_over() -> None:
    assert not [state for state, _ in TRIAL if state.over]
    assert {state for state, _ in ATTEMPT if not state.live} == {AttemptState.LOST}


def test_every_state_of_every_machine_can_be_reached_or_is_where_it_starts() -> None:
    for name, table in MACHINES.items():
        reached = set(table.values())
        states = set(type(next(iter(table))[0]))
        assert states - reached == ({AttemptState.LEASED} if table is ATTEMPT else set()), name


@pytest.mark.parametrize(
    ("tasks", "state"),
    [
        ([TaskState.PENDING, TaskState.PENDING], TrialState.QUEUED),
        ([TaskState.DONE, TaskState.PENDING], TrialState.RUNNING),
        ([TaskState.ACTIVE], TrialState.RUNNING),
        ([TaskState.DONE, TaskState.FAILED], TrialState.FAILED),
        ([TaskState.DONE, TaskState.DONE], TrialState.COMPLETED),
        ([TaskState.CANCELLED], TrialState.CANCELLED),
    ],
)
def test_a_trial_is_what_its_tasks_make_of_it(tasks: list[TaskState], state: TrialState) -> None:
    assert trial_state(tasks) is state


@pytest.mark.parametrize(
    ("desired", "live", "ended", "failed", "started", "state"),
    [
        (Desired.RUNNING, False, False, False, False, ExperimentState.PENDING),
        (Desired.RUNNING, False, False, False, True, ExperimentState.RUNNING),
        (Desired.RUNNING, True, True, False, True, ExperimentState.STOPPING),
        (Desired.RUNNING, False, True, False, True, ExperimentState.COMPLETED),
        (Desired.RUNNING, False, True, True, True, ExperimentState.FAILED),
        (Desired.STOPPED, True, False, False, True, ExperimentState.STOPPING),
        (Desired.STOPPED, False, False, False, True, ExperimentState.STOPPED),
        (Desired.PAUSED, True, False, False, True, ExperimentState.PAUSED),
    ],
)
def test_an_experiment_is_what_is_wanted_and_what_was_seen(
    desired: Desired, live: bool, ended: bool, failed: bool, started: bool, state: ExperimentState
) -> None:
    assert experiment_state(desired, live=live, ended=ended, failed=failed, started=started) is state
