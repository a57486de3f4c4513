"""Pareto fronts by NumPy are those of the pairwise comparison."""

from __future__ import annotations

import random

import pytest

from orchestune.domain.specification.metrics import Metric, pareto_front
from orchestune.services.memory import large_front, pareto

METRICS = [Metric("a", "minimize"), Metric("b", "maximize"), Metric("c", "minimize")]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_a_front_that_grows_is_the_front_of_all_trials(count: int, seed: int) -> None:
    """Few different values: many trials are equal. Trials finish in another order than that of their numbers."""
    chance = random.Random(seed)
    values = [float("nan"), float("inf"), -0.0, *map(float, range(4))]
    metrics = METRICS[:count] if count > 1 else [*METRICS[:2]]
    trials = {
        number: {metric.name: chance.choice(values) for metric in metrics if chance.random() < 0.95}
        for number in chance.sample(range(1, 61), 60)
    }
    front: list[int] = []
    numbers, done = list(trials), dict[int, dict[str, float]]()
    while numbers:
        finished = [numbers.pop() for _ in range(min(len(numbers), chance.randrange(1, 9)))]
        batch = {number: trials[number] for number in finished}
        front = large_front.extended(metrics, {number: done[number] for number in front}, batch)
        done |= batch
        assert front == pareto_front(metrics, list(done.items()))
    assert large_front.extended(metrics, {}, trials) == front == pareto.extended(metrics, {}, trials)


def test_an_empty_experiment_has_an_empty_front() -> None:
    assert large_front.extended(METRICS, {}, {}) == pareto.extended(METRICS, {}, {}) == []
