"""Estimated duration of the rest of an experiment."""

from __future__ import annotations

import pytest

from orchestune.domain.lifecycle.time_left import pace


def test_one_after_the_other_what_has_run_so_far_is_taken_off() -> None:
    estimate = pace([(0, 60), (60, 120)], 2)
    assert estimate.left(8, 0, 0, 0.0) == 480
    assert estimate.left(8, 1, 1, 45.0) == 435


def test_side_by_side_it_takes_less() -> None:
    estimate = pace([(0, 60), (0, 60), (60, 120), (60, 120)], 4)
    assert estimate.left(6, 2, 2, 60.0) == 150


def test_time_in_which_nothing_ran_does_not_count() -> None:
    assert pace([(0, 60), (60, 120), (90_000, 90_060)], 3).left(2, 0, 0, 0.0) == 120


def test_one_that_takes_long_beside_the_others_does_not_make_them_slower() -> None:
    others = [(10.0 * n, 10.0 * n + 10) for n in range(100, 149)]
    estimate = pace([*others, (0.0, 1495.0)], 50)
    assert estimate.lanes == pytest.approx(2, rel=0.02)
    assert estimate.left(10, 0, 0, 0.0) == pytest.approx(10 * (490 + 1495) / 50 / 2, rel=0.02)


def test_more_that_run_now_than_before_count() -> None:
    estimate = pace([(0, 60), (60, 120)], 2)
    assert estimate.left(12, 6, 6, 0.0) == 120


def test_the_last_ones_leave_places_empty() -> None:
    estimate = pace([(0, 60)] * 10, 10)
    assert estimate.left(1, 1, 1, 30.0) == 30


def test_one_that_runs_longer_than_the_others_is_not_done() -> None:
    assert pace([(0, 60), (60, 120)], 2).left(1, 1, 1, 500.0) == pytest.approx(6)


def test_folds_are_all_taken_together() -> None:
    estimate = pace([(0, 10), (0, 10), (10, 20), (10, 20)], 1)
    assert estimate.left(3, 1, 2, 20.0, folds=4) == (3 * 40 - 20) / 2


def test_attempts_without_length_tell_no_time() -> None:
    assert pace([(5, 5), (7, 6)], 2).left(3, 0, 0, 0.0) == 0
