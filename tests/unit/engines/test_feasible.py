"""Draws where little is allowed."""

from __future__ import annotations

import math
import statistics
from random import Random
from typing import Any

import pytest

from orchestune.domain.search.constraints import Constraint
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space
from orchestune.engines.constraints import feasible
from orchestune.engines.constraints.feasible import draw_allowed, example, wander
from orchestune.engines.samplers import uniform
from orchestune.errors import BadInput

SHARES = tuple(Parameter(name, "float", 0.0, 1.0) for name in "abc")


@pytest.mark.parametrize("text", ["abs(a + b + c - 1) <= 1e-6", "abs(2 * a - b) <= 1e-7", "abs(a * b - c) <= 1e-6"])
def test_where_numbers_depend_on_each_other_draws_still_differ(text: str) -> None:
    space = Space.of(SHARES, [text])
    drawn = [draw_allowed(space, Random(seed)) for seed in range(40)]
    assert all(space.allows(configuration) for configuration in drawn)
    for name in "ab":
        assert statistics.pstdev(float(configuration[name]) for configuration in drawn) > 0.08


@pytest.mark.parametrize("text", ["abs(lr * decay - 1e-7) <= 1e-12", "abs(a + b - 1) <= 1e-12"])
def test_what_is_allowed_may_be_very_thin_and_draws_lie_all_along_it(text: str) -> None:
    rates = Parameter("lr", "float", 1e-5, 1.0, log=True), Parameter("decay", "float", 1e-8, 1e-2, log=True)
    space = Space.of((*SHARES, *rates), [text])
    drawn = [draw_allowed(space, Random(seed)) for seed in range(40)]
    assert all(space.allows(configuration) for configuration in drawn)
    for parameter in (*SHARES[:2], *rates):
        fifths = {int(5 * position(parameter, float(configuration[parameter.name]))) for configuration in drawn}
        assert len(fifths & {*range(5)}) >= 4, parameter.name


def position(parameter: Parameter, value: float) -> float:
    low, high = float(parameter.low or 0), float(parameter.high or 0)
    return math.log(value / low) / math.log(high / low) if parameter.log else (value - low) / (high - low)


@pytest.mark.parametrize("text", ["x == y", "x + y == 1 and x < 2", "n * x == 1", "n + x == 5", "y + x == n"])
def test_an_equation_of_decimals_is_refused_whatever_else_is_in_the_space(text: str) -> None:
    """A walk may come from one such configuration to another by chance, and a number with steps may have its corner."""
    space = Space.of((*(Parameter(name, "float", 0.0, 1.0) for name in "xy"), Parameter("n", "int", 1, 9)), [text])
    with pytest.raises(BadInput, match="two decimals are never exactly equal"):
        example(space)


def test_an_equation_that_need_not_hold_ties_nothing() -> None:
    space = Space.of((SHARES[0], Parameter("n", "int", 1, 10**6)), ["n == 3 or a + n == 7"])
    assert len({draw_allowed(space, Random(seed))["a"] for seed in range(9)}) == 9


def test_an_equation_of_steps_is_not_taken_for_one_of_decimals() -> None:
    steps = tuple(Parameter(name, "float", 0.0, 1000.0, step=0.1) for name in "ab")
    space = Space.of(steps, ["a + b == 1234.5"])
    assert space.allows(draw_allowed(space, Random(1)))
    with pytest.raises(BadInput) as caught:
        example(Space.of(steps, ["a + b == 1234.55"]))
    assert "decimals" not in str(caught.value)


def test_a_walk_leaves_what_does_not_apply_and_choices_alone() -> None:
    space = Space.of(
        (
            Parameter("kind", "categorical", choices=("x", "y")),
            *SHARES,
            Parameter("d", "float", 0.0, 1.0, when=(("kind", ("y",)),)),
        ),
        ["abs(a + b - 1) <= 1e-7", "kind == 'x' or abs(c - d) <= 1e-7"],
    )
    start, points = example(space), set()
    for seed in range(40):
        configuration = wander(space, start, Random(seed))
        assert space.configuration_problems(configuration) == []
        points.add((round(float(configuration["a"]), 3), round(float(configuration["c"]), 3)))
    assert len(points) > 20


@pytest.mark.parametrize("text", ["a == b", "a == 2 * b", "a + b == 1"])
def test_an_equation_of_decimals_that_holds_in_a_corner_alone_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="two decimals are never exactly equal"):
        example(Space.of(SHARES, [text]))


def test_whole_numbers_that_divide_each_other_are_found_by_a_walk() -> None:
    """No draw and no climb leads there."""
    numbers = tuple(Parameter(name, "int", 1, 1000) for name in "abc")
    space = Space.of(numbers, ["a % b == 0", "b % c == 0", "c > 20"])
    assert space.allows(example(space))


def test_a_small_corner_of_many_numbers_is_found() -> None:
    names = [f"x{index}" for index in range(30)]
    space = Space.of(tuple(Parameter(name, "float", 0.0, 1.0) for name in names), [f"{' + '.join(names)} <= 1"])
    assert sum(float(value) for value in draw_allowed(space, Random(1)).values()) <= 1


@pytest.mark.parametrize(
    "texts",
    [[f"{' + '.join(f'x{n}' for n in range(90))} < 0"], [f"x{n} == x{n + 1}" for n in range(0, 200, 2)]],
    ids=["never", "equations"],
)
def test_a_search_among_a_thousand_parameters_takes_bounded_work(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a search occupied a thread of the server for minutes."""
    monkeypatch.setattr(feasible, "_OPERATIONS", 1_000_000)
    space = Space.of(tuple(Parameter(f"x{n}", "float", 0.0, 1.0) for n in range(1000)), texts)
    drawn, evaluated = 0, 0

    def draw(*args: Any) -> Any:
        nonlocal drawn
        drawn += len(space.parameters)
        assert drawn <= 2_000_000
        return uniform.draw(*args)

    def distance(self: Constraint, configuration: Configuration) -> float:
        nonlocal evaluated
        evaluated += self.operations
        assert evaluated <= 2_000_000
        return 1.0

    monkeypatch.setattr(feasible, "draw", draw)
    monkeypatch.setattr(Constraint, "distance", distance)
    with pytest.raises(BadInput, match="no configuration found"):
        feasible.check(space)


class _Far(Random):
    """Its steps are as long as one in many thousands is."""

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        return mu + 5 * sigma

    def uniform(self, a: float, b: float) -> float:
        return b


def test_a_walk_stays_in_a_range_as_wide_as_ranges_may_be() -> None:
    wide = tuple(Parameter(name, "float", 1e-100, 1e100, log=True) for name in "ab")
    space = Space.of(wide, ["a <= b * 1.01", "b <= a * 1.01"])
    assert space.allows(wander(space, example(space), _Far(1)))


def test_an_example_is_one_of_the_values_at_hand_where_another_space_has_true_for_1() -> None:
    for one in (1, True):
        parameters = (Parameter("c", "categorical", choices=(one, "auto")), Parameter("x", "float", 0.0, 1.0))
        space = Space.of(parameters, ["c != 'auto' and x < 0.5"])
        assert space.configuration_problems(example(space)) == []
