"""Which other valleys a stalled search looks into, and for how long."""

from __future__ import annotations

import numpy as np

from orchestune.engines.samplers.niching import EvaluatedPoint, Niches

SHARP = np.array([25.0])
"""weights: places 0.2 apart are one length apart"""
BEST, BESIDE, OTHER, THIRD = 0.1, 0.14, 0.9, 0.5


def place(at: float, loss: float) -> EvaluatedPoint:
    point = np.array([at])
    return EvaluatedPoint(point, point, loss)


POINTS = [place(BEST, -2.0), place(BESIDE, -1.9), place(OTHER, -1.0), place(THIRD, -0.5)]


def entered(weights: np.ndarray = SHARP) -> Niches:
    niches = Niches(np.array([True]))
    niches.begin(weights, POINTS)
    return niches


def where(niches: Niches) -> float | None:
    return None if niches.best is None else float(niches.best.coordinates[0])


def test_it_begins_at_the_best_place_that_is_unlike_where_the_search_stands() -> None:
    assert where(entered()) == OTHER


def test_where_every_place_is_like_the_best_there_is_none() -> None:
    niches = entered(np.array([0.01]))
    assert where(niches) is None
    assert not niches.add(place(OTHER, -3.0), 0.1)


def test_it_is_what_is_more_like_its_best_place_than_like_the_one_that_was_left() -> None:
    niches = entered()
    assert niches.holds(np.array([[0.55], [0.95], [0.45], [BEST]])).tolist() == [True, True, False, False]
    niches.add(place(0.7, -1.5), 0.1)
    assert where(niches) == 0.7
    assert niches.holds(np.array([[0.45]])).tolist() == [True]


def test_it_ends_after_twenty_results_there_that_were_worth_nothing() -> None:
    niches = entered()
    niches.add(place(0.85, -1.2), 0.1)
    ended = [niches.add(place(0.8, -1.25), 0.1) for _ in range(19)]  # better, and by too little
    assert not any(ended)
    assert [niches.add(place(BEST, -5.0), 0.1) for _ in range(30)] == [False] * 30, "results outside do not count"
    assert niches.add(place(0.8, -1.25), 0.1)
    niches.enter(POINTS)
    assert where(niches) == THIRD


def test_one_that_leads_back_ends_there() -> None:
    niches = entered()
    for at in (0.6, 0.4, 0.3, 0.21, 0.17):
        assert not niches.add(place(at, -2.0 + at / 10), 0.01)
    assert niches.add(place(BESIDE, -1.99), 0.01)


def test_places_that_were_left_are_not_entered_again() -> None:
    niches = entered()
    while not niches.add(place(OTHER, -1.0), 0.1):
        pass
    niches.leave()
    niches.begin(SHARP, [place(BEST, -2.1), *POINTS])
    assert where(niches) == THIRD


def test_choices_are_unlike_where_they_differ() -> None:
    niches = Niches(np.array([False, True]))
    points = [EvaluatedPoint(np.array(at), np.array(at), loss) for at, loss in (([0.0, 0.5], -2.0), ([1.0, 0.5], -1.0))]
    niches.begin(np.array([1.0, 1.0]), points)
    assert niches.best is points[1]
    assert niches.holds(np.array([[1.0, 0.1], [0.0, 0.9]])).tolist() == [True, False]
