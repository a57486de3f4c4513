from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestune.domain.search import parameters
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space
from orchestune.engines.models.cube import Cube
from orchestune.engines.samplers.uniform import draw
from tests.contract.engine_contract import FINITE, MIXED
from tests.contract.spaces import spaces

steady = settings(derandomize=True, database=None)


@steady
@given(spaces(), st.integers(0, 2**32))
def test_a_point_of_the_box_is_a_configuration_of_the_space(space: Space, seed: int) -> None:
    cube = Cube(space)
    for point in cube.uniform(5, np.random.default_rng(seed)):
        assert space.configuration_problems(cube.configuration(point)) == []


@steady
@given(spaces(), st.integers(0, 2**32))
def test_a_configuration_and_its_point_look_the_same_to_a_model(space: Space, seed: int) -> None:
    cube = Cube(space)
    points = cube.uniform(5, np.random.default_rng(seed))
    points_again = [cube.point(cube.configuration(point)) for point in points]
    assert all(point is not None for point in points_again)
    features, expected_features = cube.features(np.array(points_again)), cube.features(points)
    wide = [p.kind == "float" and p.step is None and not p.log and (p.high or 0) > 1e300 for p in space.parameters]
    assert features[:, ~np.array(wide)] == pytest.approx(expected_features[:, ~np.array(wide)], abs=1e-6)


@steady
@given(spaces(finite=True, most=3), st.integers(0, 2**32))
def test_snapped_points_are_those_of_the_values(space: Space, seed: int) -> None:
    cube = Cube(space)
    configuration = draw(space, Random(seed))
    point = cube.point(configuration)
    assert point is not None
    filled = np.where(np.isnan(point), 0.0, point)[None, :]
    assert cube.configuration(cube.snapped(filled.copy())[0]) == configuration


def test_what_is_inactive_is_the_same_to_a_model_whatever_its_value() -> None:
    cube = Cube(MIXED)
    random = np.random.default_rng(0)
    points = cube.uniform(200, random)
    plain = points[points[:, 0] == 0]
    features = cube.features(plain)
    rate = [parameter.name for parameter in MIXED.parameters].index("rate")
    assert len(set(plain[:, rate])) > 50
    assert set(features[:, rate]) == {0.5}


def test_each_choice_and_level_is_drawn_equally_often() -> None:
    cube = Cube(Space.of((Parameter("n", "int", 1, 4), Parameter("c", "categorical", choices=("x", "y")))))
    drawn = [tuple(cube.configuration(point).values()) for point in cube.uniform(4000, np.random.default_rng(1))]
    for value in (1, 2, 3, 4):
        assert 850 < sum(n == value for n, _ in drawn) < 1150
    assert 1850 < sum(c == "x" for _, c in drawn) < 2150


@pytest.mark.parametrize(
    "configuration", [{"gone": 1}, {"layers": 99}, {"layers": "many"}, {"optimizer": "lion"}, {"mixed": 1.5}]
)
def test_what_is_not_of_this_space_has_no_point(configuration: Configuration) -> None:
    assert Cube(FINITE).point(configuration) is None


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "parameter",
    [Parameter("a", "int", 292880, 292972, step=16), Parameter("a", "float", 0.1, 1.85, step=0.47)],
    ids=["int", "float"],
)
def test_a_point_stands_for_the_value_that_it_was_made_of_where_steps_do_not_meet_the_bound(
    parameter: Parameter, log: bool
) -> None:
    dimension = replace(parameter, log=log)
    cube = Cube(Space.of((dimension,)))
    for value in dimension.each():
        point = cube.point({"a": value})
        assert point is not None
        assert cube.configuration(cube.snapped(point[None].copy())[0]) == {"a": value}


def test_constraints_depend_on_what_they_name_and_on_what_decides_what_applies() -> None:
    parameters = (
        Parameter("k", "categorical", choices=("x", "y")),
        Parameter("m", "float", 0.0, 1.0, when=(("k", ("y",)),)),
        *(Parameter(name, "float", 0.0, 1.0) for name in "abc"),
    )
    assert Cube(Space.of(parameters, ["m + a <= 1"])).constrained().tolist() == [True, True, False, False, True]
    assert not Cube(Space.of(parameters)).constrained().any()


def test_points_are_allowed_where_their_configurations_are() -> None:
    parameters = (
        Parameter("k", "categorical", choices=("x", "y")),
        Parameter("m", "float", 0.0, 1.0, when=(("k", ("y",)),)),
        Parameter("n", "int", 1, 9, when=(("k", ("x",)),)),
        *(Parameter(name, "float", 0.0, 1.0) for name in "abc"),
    )
    for texts in (["m + a <= 0.5"], ["k == 'x' or b < 0.2", "n % 2 == 0"], ["a < b"]):
        cube = Cube(Space.of(parameters, texts))
        points = cube.anywhere(200, np.random.default_rng(1))
        allowed = [Space.of(parameters, texts).allows(cube.configuration(point)) for point in points]
        assert cube.allowed(points).tolist() == allowed
        assert 0 < sum(allowed) < 200


def test_a_log_range_too_narrow_for_its_logarithms_has_points_all_the_same() -> None:
    cube = Cube(Space.of((Parameter("a", "int", 2**53 - 5, 2**53 - 1, log=True),)))
    points = cube.uniform(20, np.random.default_rng(1))
    assert all(2**53 - 5 <= int(cube.configuration(point)["a"]) <= 2**53 - 1 for point in points)


def test_a_choice_is_looked_up_and_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among a thousand, for each of some thousand trials and each parameter, that would take seconds."""
    compared, same = [], parameters.same

    def counted(one: object, other: object) -> bool:
        compared.append(1)
        return same(one, other)

    monkeypatch.setattr(parameters, "same", counted)
    cube = Cube(Space.of((Parameter("c", "categorical", choices=tuple(map(str, range(1000)))),)))
    point = cube.point({"c": "999"})
    assert point is not None and point.tolist() == [999.0]
    assert cube.point({"c": "1000"}) is None
    assert not compared
