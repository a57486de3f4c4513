from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from orchestune.domain.search.parameters import Parameter
from orchestune.engines.samplers.optuna_axes import axis
from tests.contract.spaces import parameters


@settings(derandomize=True, database=None)
@given(parameters("p"), st.integers(0, 2**32))
def test_a_value_comes_back_from_its_position(parameter: Parameter, seed: int) -> None:
    value = parameter.from_unit(Random(seed).random())
    scale = axis(parameter)
    position = scale.inward(value)
    assert position is not None
    back = scale.outward(position)
    assert parameter.problem(back) is None
    assert type(back) is type(value)
    assert back == (pytest.approx(value, rel=1e-9, abs=1e-9) if parameter.kind == "float" else value)


@pytest.mark.parametrize(
    ("parameter", "kind"),
    [
        (Parameter("p", "int", 1, 8, log=True), IntDistribution(1, 8, log=True)),
        (Parameter("p", "int", 2, 8, step=3), IntDistribution(0, 2)),
        (Parameter("p", "float", 0.0, 1.0, step=0.25), IntDistribution(0, 4)),
        (Parameter("p", "float", 1e-6, 1.0, log=True), FloatDistribution(0, 1)),
        (Parameter("p", "float", -3.0, 5.0), FloatDistribution(0, 1)),
        (Parameter("p", "int", 0, 10**12), FloatDistribution(0, 1)),
        (Parameter("p", "int", 4, 64, log=True, step=4), FloatDistribution(0, 1)),
        (Parameter("p", "bool", choices=(False, True)), CategoricalDistribution([0, 1])),
    ],
)
def test_each_kind_has_its_distribution(parameter: Parameter, kind: object) -> None:
    assert axis(parameter).distribution == kind


@pytest.mark.parametrize("value", [-0.5, 1.5, "many"])
@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("p", "float", 0.0, 1.0),
        Parameter("p", "float", 1e-3, 1.0, log=True),
        Parameter("p", "float", 0.0, 1.0, step=0.25),
        Parameter("p", "int", 3, 9, log=True),
        Parameter("p", "categorical", choices=("a", "b")),
    ],
)
def test_a_value_that_the_parameter_does_not_have_has_no_position(parameter: Parameter, value: float | str) -> None:
    assert axis(parameter).inward(value) is None
