"""Spaces: conditions, sizes, what is a point and what is not."""

from __future__ import annotations

import math

import pytest

from orchestune.domain.search.constraints import Constraint
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space, key
from orchestune.errors import BadInput

PENALTY = Parameter("penalty", "categorical", choices=("l1", "l2", "elasticnet"))
RATIO = Parameter("l1_ratio", "float", 0.0, 1.0, when=(("penalty", ("elasticnet",)),))
DEPTH = Parameter("depth", "int", 1, 4, when=(("l1_ratio", (0.5,)),))


def test_children_come_after_their_parents_and_only_active_ones_are_in_a_configuration() -> None:
    space = Space.of((RATIO, PENALTY))
    assert [p.name for p in space.parameters] == ["penalty", "l1_ratio"]
    assert space.active({"l1_ratio": 0.5, "penalty": "l2"}) == {"penalty": "l2"}
    assert space.active({"l1_ratio": 0.5, "penalty": "elasticnet"}) == {"penalty": "elasticnet", "l1_ratio": 0.5}


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"penalty": "l3"}, "expected one of l1, l2, elasticnet"),
        ({}, "has no value"),
        ({"penalty": "l2", "l1_ratio": 0.5}, "is not active"),
        ({"penalty": "elasticnet", "l1_ratio": 1.5}, "expected 0..1"),
        ({"penalty": "elasticnet", "l1_ratio": True}, "expected a finite number"),
        ({"penalty": "elasticnet", "l1_ratio": math.nan}, "expected a finite number"),
        ({"penalty": "elasticnet", "l1_ratio": 10**400}, "expected a finite number"),
        ({"penalty": "l2", "alpha": 1}, "is not a parameter"),
    ],
)
def test_what_is_no_point_of_the_space_is_told(configuration: dict[str, object], message: str) -> None:
    problems = Space.of((PENALTY, RATIO)).configuration_problems(configuration)
    assert any(message in problem.message for problem in problems), problems


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((Parameter("a", "float", 1.0, 0.0),), "must be less than"),
        ((Parameter("a", "float", 0.0, 1.0, log=True),), "positive bounds"),
        ((Parameter("a", "float", 0.0, 1.0, step=2.0),), "step"),
        ((Parameter("a", "categorical"),), "no values"),
        ((Parameter("a", "categorical", choices=(1, 1)),), "twice"),
        (
            (Parameter("a", "categorical", choices=("x" * 1001, 1)),),
            "1,001 characters .expected at most 1,000",
        ),
        ((Parameter("a", "float", 0.0, math.inf),), "finite"),
        ((RATIO,), "unknown parameter 'penalty'"),
        ((PENALTY, PENALTY), "twice"),
        (
            (
                Parameter("a", "int", 1, 2, when=(("b", (1,)),)),
                Parameter("b", "int", 1, 2, when=(("a", (1,)),)),
            ),
            "cycle",
        ),
        ((PENALTY, Parameter("b", "int", 1, 2, when=(("penalty", ("l4",)),))), "never hold"),
    ],
)
def test_a_wrong_space_is_refused_with_the_reason(parameters: tuple[Parameter, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Space.of(parameters)


def test_the_size_of_a_conditional_space_counts_each_configuration_once() -> None:
    layers = Parameter("layers", "int", 1, 3, when=(("penalty", ("l1", "elasticnet")),))
    space = Space.of((PENALTY, layers))
    walked = list(space.walk())
    assert space.size() == len(walked) == len({key(configuration) for configuration in walked}) == 7
    assert Space.of((PENALTY, RATIO)).size() == math.inf


def test_a_space_survives_json() -> None:
    space = Space.of((PENALTY, RATIO, DEPTH, Parameter("lr", "float", 1e-5, 1.0, log=True)))
    assert Space.from_json(space.to_json()) == space


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("x", "float", 1e-300, 1e300, log=True),
        Parameter("x", "int", 1, 1000, log=True),
        Parameter("x", "float", 0.0, 1.0, step=0.3),
        Parameter("x", "int", 0, 10, step=4),
        Parameter("x", "int", -3, 3),
    ],
)
def test_every_position_leads_to_an_allowed_value(parameter: Parameter) -> None:
    for index in range(1000):
        value = parameter.from_unit(index / 1000)
        assert parameter.problem(value) is None, value


@pytest.mark.parametrize(("low", "high"), [(1e-6, 0.1), (1e-300, 1e300), (3e-5, 7.0)])
def test_the_ends_of_a_logarithmic_range_are_the_bounds_to_the_last_digit(low: float, high: float) -> None:
    parameter = Parameter("lr", "float", low=low, high=high, log=True)
    assert parameter.from_unit(0.0) == low
    assert parameter.snap(math.exp(math.log(high))) == high


def test_what_is_inside_a_narrow_range_stays_there() -> None:
    assert Parameter("x", "float", low=1e15, high=1e15 + 1).snap(1e15 + 0.5) == 1e15 + 0.5


@pytest.mark.parametrize("steps", [7, 10**12, 133_984_305_787_739, 10**18])
def test_a_value_that_was_snapped_is_allowed_however_many_steps_there_are(steps: int) -> None:
    parameter = Parameter("p", "float", 1e-9, 1e9, step=1e-9)
    assert parameter.problem(parameter.snap(1e-9 + steps * 1e-9)) is None


@pytest.mark.parametrize(
    ("low", "high", "step", "written"),
    [
        (0.0, 0.5, 0.1, "0.0 0.1 0.2 0.3 0.4 0.5"),
        (0.25, 1.2, 0.3, "0.25 0.55 0.85 1.15"),
        (-1.1, -0.8, 0.1, "-1.1 -1.0 -0.9 -0.8"),
        (0.0, 4e-7, 1e-7, "0.0 1e-07 2e-07 3e-07 4e-07"),
        (1e20, 1e20 + 1e17, 5e16, "1e+20 1.0005e+20 1.001e+20"),
    ],
)
def test_steps_are_values_as_people_write_them(low: float, high: float, step: float, written: str) -> None:
    parameter = Parameter("p", "float", low, high, step=step)
    levels = parameter.levels() or ()
    assert " ".join(map(repr, levels)) == written
    assert [parameter.snap(low + index * step) for index in range(len(levels))] == list(levels)
    assert not [level for level in levels if parameter.problem(level)]


def test_the_largest_whole_number_is_the_bound_also_where_decimals_have_gaps() -> None:
    parameter = Parameter("a", "int", 1, 10**18, log=True)
    assert parameter.snap(1e18) == 10**18


def test_a_value_between_two_steps_is_told() -> None:
    assert Parameter("p", "float", 0.0, 1e9, step=0.5).problem(1e8 + 0.25) is not None


MIXED = Parameter("a", "categorical", choices=(1, True, 0, False, "auto"))


def test_a_condition_on_true_does_not_hold_for_one() -> None:
    """To Python they are equal."""
    child = Parameter("b", "categorical", choices=("x",), when=(("a", (True, 0)),))
    space = Space.of((MIXED, child))
    active = {repr(value): space.is_active("b", {"a": value}) for value in MIXED.choices}
    assert active == {"1": False, "True": True, "0": True, "False": False, "'auto'": False}
    assert space.is_active("b", {"a": 0.0})
    assert space.size() == 5


def test_a_constraint_on_true_does_not_hold_for_one() -> None:
    space = Space.of((MIXED,), ["a != True", "a not in [0, 'x']"])
    assert [repr(configuration["a"]) for configuration in space.walk()] == ["1", "False", "'auto'"]
    switch = Space.of((Parameter("a", "bool", choices=(False, True)),), ["a == 1"])
    assert [dict(configuration) for configuration in switch.walk()] == [{"a": True}]


def test_values_become_those_that_the_parameters_have() -> None:
    space = Space.of(
        (
            Parameter("n", "int", 1, 8),
            Parameter("x", "float", 0.0, 1.0),
            Parameter("c", "categorical", choices=(True, 1.0, 2)),
        )
    )
    exact = space.exact({"n": 2.0, "x": 1, "c": 1})
    assert repr(exact) == repr({"n": 2, "x": 1.0, "c": 1.0})
    assert repr(space.exact({"n": 2, "x": 1.0 + 1e-12, "c": True})) == repr({"n": 2, "x": 1.0, "c": True})


def test_a_number_that_was_rounded_on_its_way_is_the_one_of_its_step() -> None:
    third = 0.1 + 0.2
    parent = Parameter("x", "float", 0.0, 1.0, step=0.1)
    space = Space.of((Parameter("y", "categorical", choices=("a", "b"), when=(("x", (third, 0.1 * 6)),)), parent))
    assert sum("y" in configuration for configuration in space.walk()) == 4 and space.size() == 13
    assert space.configuration_problems({"x": third, "y": "a"}) == []
    assert repr(space.exact({"x": third, "y": "a"})) == repr({"x": 0.3, "y": "a"})
    assert Space.from_json(space.to_json()) == space


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter("a", "int", 1, 10_000_000_000), 10_000_000_001),
        (Parameter("a", "float", 1e6, 1e6 + 1e-4), 1e6 - 5e-4),
        (Parameter("a", "float", 1e-9, 1.0, log=True), 0),
        (Parameter("a", "float", 1e-9, 1.0, log=True), 1e-12),
        (Parameter("a", "float", 1e-6, 1e4, log=True), -5e-6),
        (Parameter("a", "float", 1e-6, 1e4, log=True), 1e4 + 1e-4),
        (Parameter("a", "int", 1, 10**10, log=True), 0),
    ],
)
def test_what_lies_outside_is_told_however_large_the_bounds_are(parameter: Parameter, value: float) -> None:
    assert "out of range" in (parameter.problem(value) or "")


@pytest.mark.parametrize("low", [1e-9, 3e-7, 1.0])
def test_a_bound_that_was_rounded_on_its_way_is_none_outside(low: float) -> None:
    for parameter in (Parameter("a", "float", low, 2.0, log=True), Parameter("a", "float", low, 2.0)):
        assert parameter.problem(low * (1 - 1e-13)) is None and parameter.problem(2.0 * (1 + 1e-13)) is None


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("a", "int", 0, 19, step=5),
        Parameter("a", "int", 292880, 292972, step=16),
        Parameter("a", "float", 0.0, 1.75, step=0.47),
        Parameter("a", "float", 0.0, 1.0, step=0.25),
    ],
)
def test_a_step_that_does_not_meet_the_upper_bound_gives_each_value_its_share(parameter: Parameter) -> None:
    levels = list(parameter.each())
    places = [parameter.from_unit((place + 0.5) / 1000) for place in range(1000)]
    assert [round(places.count(level) / 1000 * len(levels), 1) for level in levels] == [1.0] * len(levels)


def test_a_step_may_be_small_beside_what_it_is_counted_from() -> None:
    parameter = Parameter("a", "float", 5530.717007052405, 5530.717052652572, step=2.8e-9)
    assert all(parameter.problem(parameter.from_unit(place / 97)) is None for place in range(97))


@pytest.mark.parametrize(
    ("low", "high", "step", "count", "last"),
    [
        (10000000.1, 10000000.9, 0.1, 9, 10000000.9),
        (-1175.0, -1174.99978, 0.00001, 23, -1174.99978),
        (56.7, 217640.4201, 0.0261, 8336542, 217640.4201),
        (0.0, 9.9999995, 1.0, 10, 9.0),
        (10000000.1, 10000000.85, 0.1, 8, 10000000.8),
    ],
)
def test_an_upper_bound_that_steps_meet_is_a_value(
    low: float, high: float, step: float, count: int, last: float
) -> None:
    parameter = Parameter("a", "float", low, high, step=step)
    assert (parameter.count(), parameter.snap(high)) == (count, last)


def test_a_space_is_counted_only_where_that_takes_few_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def holds(self: Constraint, configuration: Configuration) -> bool:
        nonlocal looks
        looks += self.operations
        return True

    monkeypatch.setattr(Constraint, "holds", holds)
    axes = tuple(Parameter(name, "int", 1, 18) for name in "abc")
    assert Space.of(axes, ["a * b <= 9"]).size() == 18**3
    assert 0 < looks < 1_000_000
    looks = 0
    slow = " + ".join(["abs(a * b - c)"] * 12) + " < 1"
    assert Space.of(axes, [f"{slow}{place}" for place in range(10)]).size() == math.inf
    assert looks == 0


def test_branches_with_many_conditions_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    is_active = Space.is_active

    def counting(self: Space, name: str, configuration: Configuration) -> bool:
        nonlocal looks
        looks += 1
        return is_active(self, name, configuration)

    monkeypatch.setattr(Space, "is_active", counting)
    parents = (Parameter("a", "int", 1, 90), Parameter("b", "int", 1, 90))
    leaves = [Parameter(f"leaf{place}", "int", 1, 2, when=(("a", (1,)), ("b", (1,)))) for place in range(900)]
    assert Space.of((*parents, *leaves)).size() == math.inf
    assert looks < 1_000_000


def test_constraints_are_refused_that_have_too_many_operations_together() -> None:
    axes = tuple(Parameter(name, "int", 1, 9) for name in "ab")
    with pytest.raises(BadInput, match=r"constraints: have 1,015 names, .* together \(expected at most 1,000\)"):
        Space.of(axes, [f"{' + '.join(['a * b'] * 7)} < {place}" for place in range(35)])


def test_every_configuration_is_walked_with_conditions_and_constraints() -> None:
    parameters = (
        Parameter("a", "categorical", choices=("x", "y", "z")),
        Parameter("b", "int", 1, 2, when=(("a", ("x", "y")),)),
        Parameter("c", "bool", choices=(False, True), when=(("b", (2,)),)),
        Parameter("d", "int", 1, 2),
    )
    walked = list(Space.of(parameters, ["not (a == 'x' and b == 2)", "c or d == 1"]).walk())
    assert [list(configuration.items()) for configuration in walked] == [
        [("a", "x"), ("d", 1), ("b", 1)],
        [("a", "x"), ("d", 2), ("b", 1)],
        [("a", "y"), ("d", 1), ("b", 1)],
        [("a", "y"), ("d", 1), ("b", 2), ("c", False)],
        [("a", "y"), ("d", 1), ("b", 2), ("c", True)],
        [("a", "y"), ("d", 2), ("b", 1)],
        [("a", "y"), ("d", 2), ("b", 2), ("c", True)],
        [("a", "z"), ("d", 1)],
        [("a", "z"), ("d", 2)],
    ]
