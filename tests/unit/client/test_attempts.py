from __future__ import annotations

from typing import Any

import pytest

from orchestune.client.attempts import seconds
from orchestune.client.connection import clock
from tests.unit.client.fake_server import attempt, trial


def at(second: int) -> str:
    return f"2026-01-31T12:{second // 60:02}:{second % 60:02}.000Z"


def ran(start: int, wall: float | None, end: int | None, **changes: Any) -> dict[str, Any]:
    return attempt(started_at=at(start), wall_seconds=wall, finished_at=at(end) if end else None, **changes)


def test_a_trial_took_what_its_attempts_ran_and_not_the_pause_between_them() -> None:
    assert seconds(trial(1, attempts=[ran(0, 4.0, 4), ran(46, 2.25, 48)])) == 6.25  # type: ignore[arg-type]


def test_folds_side_by_side_count_once() -> None:
    folds = [ran(0, 10.0, 10, fold=0), ran(2, 4.0, 6, fold=1), ran(8, 4.0, 12, fold=2)]
    assert seconds(trial(1, attempts=folds)) == 12.0  # type: ignore[arg-type]


def test_the_time_of_an_end_that_was_heard_late_is_what_the_worker_says() -> None:
    assert seconds(trial(1, attempts=[ran(0, 4.0, 600)])) == 4.0  # type: ignore[arg-type]


def test_what_runs_and_what_was_lost_count_until_now_and_until_it_was_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1769860800.0 + 30)
    attempts = [ran(0, None, 5, state="lost"), ran(20, None, None, state="running")]
    assert seconds(trial(1, state="running", finished_at=None, attempts=attempts)) == 15.0  # type: ignore[arg-type]


def test_a_trial_that_is_queued_again_or_was_never_begun_has_no_time() -> None:
    again = trial(1, state="queued", finished_at=None, attempts=[ran(0, 4.0, 4, state="preempted")])
    assert seconds(again) is None  # type: ignore[arg-type]
    assert seconds(trial(1, attempts=[attempt(started_at=None, wall_seconds=None)])) is None  # type: ignore[arg-type]
    assert seconds(trial(1, state="cancelled", attempts=[])) is None  # type: ignore[arg-type]
