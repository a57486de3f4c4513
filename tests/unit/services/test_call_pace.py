"""How long workers pause between calls, by their number."""

from __future__ import annotations

import pytest

from orchestune.services.memory.call_pace import (
    MAX_CALLS_PER_SECOND,
    MAX_PAUSE_SECONDS,
    MEMORY_SECONDS,
    PAUSES_PER_LEASE,
    WINDOW_SECONDS,
    CallPace,
)

MANY = 4 * MAX_CALLS_PER_SECOND
"""workers that pause for 4 s"""


def call(pace: CallPace, workers: int, now: float, *, watched: bool = False) -> float:
    """Let so many workers call once, and return the pause of the last one."""
    return [pace.pause(f"{watched} {number}", now, watched=watched) for number in range(workers)][-1]


def test_few_workers_keep_their_own_pace() -> None:
    assert call(CallPace(), MAX_CALLS_PER_SECOND, 100.0) == 0


def test_many_workers_make_a_bounded_number_of_calls_together() -> None:
    pace = CallPace()
    assert call(pace, MANY, 100.0) == pytest.approx(4)
    assert call(pace, MANY, 104.0) == pytest.approx(4), "the same workers are counted once"


def test_a_pause_never_exceeds_its_bound() -> None:
    assert call(CallPace(), 20 * MAX_CALLS_PER_SECOND, 100.0) == MAX_PAUSE_SECONDS


def test_workers_that_left_are_forgotten_after_two_windows() -> None:
    pace = CallPace()
    call(pace, MANY, 100.0)
    assert call(pace, 1, 100.0 + WINDOW_SECONDS) == pytest.approx(4), "most have not called in this window yet"
    assert call(pace, 1, 100.0 + 2 * WINDOW_SECONDS) == 0
    call(pace, MANY, 200.0)
    assert call(pace, 1, 200.0 + 3 * WINDOW_SECONDS) == 0, "no worker called for a whole window"


def test_a_few_watched_workers_stay_fast_among_many() -> None:
    pace = CallPace()
    call(pace, MANY, 100.0)
    assert call(pace, 30, 101.0, watched=True) == 0
    assert call(pace, MANY, 102.0, watched=True) == pytest.approx(4), "all of them cannot be fast"


def test_after_a_restart_the_known_workers_count_before_they_call() -> None:
    pace = CallPace()
    pace.expect(MANY, 100.0)
    assert call(pace, 1, 100.0) == pytest.approx(4)
    assert call(pace, 1, 100.0 + WINDOW_SECONDS) == 0, "those that have not returned by now are gone"


def test_leases_outlast_the_longest_pause_that_a_worker_may_still_keep() -> None:
    pace = CallPace()
    assert pace.lease_seconds(15) == 15
    pace.expect(4 * MANY, 100.0)
    assert pace.lease_seconds(15) == PAUSES_PER_LEASE * MAX_PAUSE_SECONDS
    pace.expect(10, 101.0)
    assert pace.lease_seconds(15) == PAUSES_PER_LEASE * MAX_PAUSE_SECONDS
    pace.expect(10, 100.0 + MEMORY_SECONDS)
    assert pace.lease_seconds(15) == 15
