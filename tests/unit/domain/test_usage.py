"""Number of usage samples that are kept of an attempt."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestune.domain.resources.usage import MAX_ENDED_SAMPLES, MAX_RUNNING_SAMPLES, NEWEST, with_more


def samples(first: int, last: int) -> list[list[float]]:
    return [[number, 10.0 * number, 1.0, 2.0**20] for number in range(first, last)]


def test_a_short_series_is_kept_whole() -> None:
    assert with_more(samples(0, 100), samples(100, 200)) == samples(0, 200)


def test_what_is_there_already_is_the_same_again() -> None:
    assert with_more(samples(0, 10), samples(5, 12)) == samples(0, 12)
    assert with_more(samples(0, 10), samples(0, 10)) == samples(0, 10)


@pytest.mark.parametrize("step", [1, 7])
def test_a_long_one_is_thinned_evenly_and_its_end_is_whole(step: int) -> None:
    series: list[list[float]] = []
    for first in range(0, 20_000, step):
        series = with_more(series, samples(first, min(first + step, 20_000)))  # type: ignore[assignment]
        assert len(series) <= MAX_RUNNING_SAMPLES + NEWEST
    numbers = [int(sample[0]) for sample in series]
    assert numbers[-NEWEST:] == list(range(20_000 - NEWEST, 20_000))
    assert len({later - earlier for earlier, later in pairwise(numbers[:-NEWEST])}) == 1
    assert numbers[0] == 0 and len(numbers) > MAX_RUNNING_SAMPLES / 2


def test_numbers_that_do_not_ascend_are_skipped() -> None:
    assert with_more(samples(0, 3), [*samples(3, 5), *samples(4, 6), *samples(5, 6) * 1000]) == samples(0, 6)
    assert len(with_more([], [*samples(2**40, 2**40 + 1) * 1000, *samples(0, 1)])) == 1


def test_of_what_has_ended_less_is_kept() -> None:
    assert len(with_more(samples(0, 400), [], MAX_ENDED_SAMPLES)) <= MAX_ENDED_SAMPLES + NEWEST
