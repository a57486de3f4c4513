from __future__ import annotations

from statistics import fmean

import pytest

from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.registry import create
from orchestune.engines.samplers.quasi import QuasiRandomProposer
from tests.contract.engine_contract import MIXED, wide

LOSS = Metric("loss", "minimize")
both = pytest.mark.parametrize("name", ["sobol", "halton"])


@both
def test_the_point_of_a_number_does_not_depend_on_the_order_of_asking(name: str) -> None:
    ordered = create(name, wide(3), [LOSS], seed=5)
    points = {number: ordered.ask([], number, 0) for number in range(1, 40)}
    shuffled = create(name, wide(3), [LOSS], seed=5)
    for number in (17, 3, 39, 1, 18, 18, 2):
        assert shuffled.ask([], number, 99) == points[number]


@both
def test_another_seed_of_the_experiment_gives_other_points(name: str) -> None:
    one, two = (create(name, wide(2), [LOSS], seed=seed) for seed in (1, 2))
    assert one.ask([], 1, 0) != two.ask([], 1, 0)


@both
def test_the_points_are_spread_more_evenly_than_random_ones(name: str) -> None:
    engine = create(name, wide(2), [LOSS], seed=3)
    cells = set()
    for number in range(1, 65):
        point = engine.ask([], number, 0)
        cells.add((int(float(point["x0"]) * 8), int(float(point["x1"]) * 8)))
    assert len(cells) >= {"sobol": 64, "halton": 50}[name], "random points reach 41 of the 64 cells"


@both
def test_what_a_condition_leaves_out_is_left_out(name: str) -> None:
    engine = create(name, MIXED, [LOSS], seed=3)
    suggestions: list[dict[str, Value]] = []
    for number in range(1, 33):
        suggestions.append(engine.ask(suggestions, number, number))
    assert all(MIXED.configuration_problems(configuration) == [] for configuration in suggestions)
    assert sum("rate" in configuration for configuration in suggestions) >= 16


@both
def test_a_point_that_was_tried_is_replaced_by_a_random_one(name: str) -> None:
    space = Space.of((Parameter("n", "int", 1, 4),))
    engine = create(name, space, [LOSS], seed=3)
    suggestions: list[dict[str, Value]] = []
    for number in (1, 1, 1, 1):
        suggestions.append(engine.ask(suggestions, number, 7))
    assert sorted(int(configuration["n"]) for configuration in suggestions) == [1, 2, 3, 4]


def distance(point: Configuration) -> float:
    """From the middle of `wide`, in the mean of the coordinates; a quarter everywhere."""
    return fmean(abs(float(value) - 0.5) for value in point.values())


def test_a_design_goes_outward_from_the_middle_the_more_slowly_the_more_numbers_there_are() -> None:
    def distances(width: int) -> list[float]:
        design = QuasiRandomProposer("sobol", wide(width), 3, outward=True)
        return [distance(design.propose([], number, 0)) for number in range(1, 65)]

    few, many = distances(2), distances(24)
    assert few[0] == many[0] == 0.0
    assert fmean(few[1:8]) > 0.15
    assert fmean(many[1:8]) < 0.12 < fmean(many[32:]) < 0.2


def test_of_many_numbers_every_fourth_point_goes_farther_out_as_few_may_matter() -> None:
    def mean_distances(width: int) -> tuple[float, float]:
        design = QuasiRandomProposer("sobol", wide(width), 3, outward=True)
        distances = {number: distance(design.propose([], number, 0)) for number in range(9, 65)}
        return fmean(d for n, d in distances.items() if n % 4 == 0), fmean(d for n, d in distances.items() if n % 4)

    farther, others = mean_distances(24)
    assert farther > 1.3 * others
    farther, others = mean_distances(10)
    assert farther < 1.1 * others


def test_a_design_that_goes_outward_leaves_choices_alone_and_begins_with_the_middle_of_a_prior() -> None:
    space = Space.of(
        (
            Parameter("rate", "float", 1e-5, 1e-1, log=True),
            Parameter("share", "float", 0.0, 1.0, prior=Prior("normal", (0.9, 0.02))),
            Parameter("kind", "categorical", choices=tuple("abcdefgh")),
        )
    )
    firsts = [QuasiRandomProposer("sobol", space, seed, outward=True).propose([], 1, 0) for seed in range(8)]
    assert all(float(first["rate"]) == pytest.approx(1e-3) for first in firsts)
    assert all(float(first["share"]) == pytest.approx(0.9, abs=0.02) for first in firsts)
    assert len({first["kind"] for first in firsts}) > 3


def test_a_design_goes_outward_until_it_is_where_constraints_allow_it() -> None:
    space = Space.of(wide(8).parameters, ["x0 + x1 > 1.05"])
    design = QuasiRandomProposer("sobol", space, 3, outward=True)
    first = design.propose([], 1, 0)
    assert space.allows(first)
    assert 0.0 < distance(first) < 0.2
