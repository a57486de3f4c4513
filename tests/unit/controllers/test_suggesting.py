"""Number of suggestions that are kept ready."""

from __future__ import annotations

import random

import pytest

from orchestune.controllers.suggesting import standby


def test_one_suggestion_is_ready_where_an_engine_answers_at_once() -> None:
    assert standby(0.0, 100) == standby(0.0, 1) == 1


def test_few_workers_get_no_older_suggestions_than_keeping_up_takes() -> None:
    assert [standby(used, 15) for used in (0.001, 0.1, 0.5, 1.0, 3.5)] == [2, 2, 2, 2, 5]


def test_there_are_never_more_than_workers() -> None:
    assert standby(50.0, 8) == 8 and standby(0.9, 1) == 1


@pytest.mark.parametrize("used", [0.05, 0.1, 0.2, 0.3])
def test_of_a_hundred_workers_fewer_than_one_in_a_hundred_waits_for_the_engine(used: float) -> None:
    chance, stock, now, ready, waited = random.Random(1), standby(used, 100), 0.0, 0.0, 0
    ready_times: list[float] = []
    for _ in range(
        20_000
    ):  # a result a second on average; one suggestion is made after the other, each in `used` seconds
        now += chance.expovariate(1.0)
        ready_times = [at for at in ready_times if at > now]
        waited += len(ready_times) >= stock
        ready = max(ready, now) + used
        ready_times.append(ready)
    assert waited < 200
