from __future__ import annotations

import pytest

from orchestune.domain.metrics import Metric
from orchestune.domain.parameters import Parameter, Value
from orchestune.domain.space import Space
from orchestune.engines.registry import create
from orchestune.testing.engine_contract import MIXED, wide

LOSS = Metric("loss", "minimize")
both = pytest.mark.parametrize("name", ["sobol", "halton"])


@both
def test_the_point_of_a_number_does_not_depend_on_the_order_of_asking(name: str) -> None:
    ordered = create(name, wide(3), [LOSS], seed=5, budget=10)
    points = {number: ordered.ask([], number, 0) for number in range(1, 40)}
    shuffled = create(name, wide(3), [LOSS], seed=5, budget=10)
    for number in (17, 3, 39, 1, 18, 18, 2):
        assert shuffled.ask([], number, 99) == points[number]


@both
def test_another_seed_of_the_experiment_gives_other_points(name: str) -> None:
    one, two = (create(name, wide(2), [LOSS], seed=seed, budget=10) for seed in (1, 2))
    assert one.ask([], 1, 0) != two.ask([], 1, 0)


@both
def test_the_points_are_spread_more_evenly_than_random_ones(name: str) -> None:
    engine = create(name, wide(2), [LOSS], seed=3, budget=64)
    cells = set()
    for number in range(1, 65):
        point = engine.ask([], number, 0)
        cells.add((int(float(point["x0"]) * 8), int(float(point["x1"]) * 8)))
    assert len(cells) >= {"sobol": 64, "halton": 50}[name], "random points reach 41 of the 64 cells"


@both
def test_what_a_condition_leaves_out_is_left_out(name: str) -> None:
    engine = create(name, MIXED, [LOSS], seed=3, budget=64)
    asked: list[dict[str, Value]] = []
    for number in range(1, 33):
        asked.append(engine.ask(asked, number, number))
    assert all(MIXED.configuration_problems(configuration) == [] for configuration in asked)
    assert sum("rate" in configuration for configuration in asked) >= 16


@both
def test_a_point_that_was_tried_is_replaced_by_a_random_one(name: str) -> None:
    space = Space.of((Parameter("n", "int", 1, 4),))
    engine = create(name, space, [LOSS], seed=3, budget=64)
    asked: list[dict[str, Value]] = []
    for number in (1, 1, 1, 1):
        asked.append(engine.ask(asked, number, 7))
    assert sorted(int(configuration["n"]) for configuration in asked) == [1, 2, 3, 4]
