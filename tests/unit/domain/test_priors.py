from __future__ import annotations

import math
from collections import Counter
from random import Random
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, lognorm, norm

from orchestune.config.experiment_file import parse
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.registry import create
from orchestune.errors import BadInput

LOSS = [Metric("loss", "minimize")]


def draws(parameter: Parameter, count: int = 4000) -> list[float]:
    random = Random(1)
    return [float(parameter.drawn(random.random())) for _ in range(count)]


def test_a_normal_prior_is_drawn_from_but_for_a_tenth() -> None:
    values = draws(Parameter("p", "float", 0.0, 10.0, prior=Prior("normal", (7.0, 0.5))))
    assert median(values) == pytest.approx(7.0, abs=0.1)
    assert 0.59 < sum(6.5 <= value <= 7.5 for value in values) / len(values) < 0.68
    assert 0.03 < sum(value < 4 for value in values) / len(values) < 0.06


def test_a_log_normal_prior_has_its_median_and_its_factor() -> None:
    values = draws(Parameter("p", "float", 1e-6, 1.0, log=True, prior=Prior("log_normal", (1e-3, 3.0))))
    assert median(values) == pytest.approx(1e-3, rel=0.1)
    assert 0.6 < sum(1e-3 / 3 < value < 3e-3 for value in values) / len(values) < 0.68


@pytest.mark.parametrize("log", [False, True])
def test_a_beta_prior_lies_over_the_range_whatever_the_scale(log: bool) -> None:
    values = draws(Parameter("p", "float", 1.0, 11.0, log=log, prior=Prior("beta", (2.0, 8.0))))
    assert 2.3 < median(values) < 3.3
    assert all(1 <= value <= 11 for value in values)


def test_weights_are_shares_and_leave_nothing_out() -> None:
    parameter = Parameter("p", "categorical", choices=("a", "b", "c"), prior=Prior("weights", (6.0, 3.0, 0.0)))
    random = Random(1)
    counts = Counter(str(parameter.drawn(random.random())) for _ in range(6000))
    assert counts["a"] == pytest.approx(6000 * (0.9 * 2 / 3 + 0.1 / 3), rel=0.1)
    assert 0 < counts["c"] < 300


@settings(derandomize=True, database=None)
@given(
    st.sampled_from([Prior("normal", (1e9, 1e-9)), Prior("log_normal", (1e-300, 1.0001)), Prior("beta", (0.01, 99.0))]),
    st.sampled_from([
        Parameter("p", "float", 1e-300, 1e300, log=True), Parameter("p", "int", 1, 3),
        Parameter("p", "float", -1.7e308, 1.7e308), Parameter("p", "int", 1, 10**18, log=True),
        Parameter("p", "float", 0.0, 1.0, step=0.25),
    ]),
    st.floats(0, 1, exclude_max=True),
)  # fmt: skip
def test_whatever_is_believed_draws_are_values_of_the_parameter(prior: Prior, bare: Parameter, share: float) -> None:
    parameter = Parameter(bare.name, bare.kind, bare.low, bare.high, bare.log, bare.step, prior=prior)
    assert parameter.problem(parameter.drawn(share)) is None


def spec(parameter: str) -> Parameter:
    text = f"run: train {{args}}\nparameters: {{p: {parameter}}}\nbudget: 10\nmetrics: {{loss: minimize}}\n"
    return parse(text, "experiment.yml").specification.space.parameters[0]


@pytest.mark.parametrize(
    ("text", "prior"),
    [
        ("{min: 0.0, max: 1.0, prior: {mean: 0.9, std: 0.05}}", Prior("normal", (0.9, 0.05))),
        ("{min: 1e-5, max: 1, log: true, prior: {median: 1e-3, factor: 3}}", Prior("log_normal", (1e-3, 3.0))),
        ("{min: 1, max: 9, prior: {a: 2, b: 5}}", Prior("beta", (2.0, 5.0))),
        ("{values: [sgd, adam], prior: {weights: [1, 3]}}", Prior("weights", (1, 3))),
        ("{values: [true, false], prior: {weights: [1, 3]}}", Prior("weights", (3, 1))),
        ("{values: [false, true], prior: {weights: [1, 3]}}", Prior("weights", (1, 3))),
        ("{type: bool, prior: {weights: [1, 3]}}", Prior("weights", (1, 3))),
        ("{type: categorical, values: [true, false], prior: {weights: [1, 3]}}", Prior("weights", (1, 3))),
        ("{values: [true, auto, false], prior: {weights: [1, 3, 5]}}", Prior("weights", (1, 3, 5))),
    ],
)
def test_the_file_says_what_is_believed(text: str, prior: Prior) -> None:
    parameter = spec(text)
    assert parameter.prior == prior
    assert Parameter.from_json(parameter.to_json()) == parameter


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{min: 0.0, max: 1.0, prior: {mean: 0.9}}",
            "found a mapping, expected mean and std, median and factor",
        ),
        ("{min: 0.0, max: 1.0, prior: {mean: 0.9, std: -1}}", "parameters.p: the prior std must be positive"),
        ("{min: 0.0, max: 1.0, prior: {weights: [1, 2]}}", "parameters.p: a prior of a number has mean and std"),
        ("{values: [a, b], prior: {mean: 1, std: 1}}", "parameters.p: a prior of choices has weights"),
        ("{values: [a, b], prior: {weights: [1]}}", "parameters.p: the prior has 1 weights for 2 values"),
        ("{values: [a, b], prior: {weights: [0, 0]}}", "parameters.p: the prior weights are at least 0, and not all 0"),
        ("{min: 1.0, max: 2.0, prior: {median: 1, factor: 1}}", "median must be positive, and factor larger than 1"),
        (
            "{min: 0.0, max: 1.0, prior: {mean: 20, std: 1}}",
            "parameters.p: the prior has its mean 20 more than 6 standard deviations outside of 0..1",
        ),
        ("{min: 1.0, max: 2.0, prior: {median: 1e-9, factor: 2}}", "has its median 1e-09 more than 6 factors outside"),
    ],
)
def test_a_belief_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        spec(text)
    assert message in caught.value.message


@pytest.mark.parametrize("engine", ["auto", "gp", "tpe", "random", "sobol", "latin"])
def test_the_first_suggestions_are_where_good_values_are_believed_to_be(engine: str) -> None:
    space = Space.of((
        Parameter("x", "float", 0.0, 1.0, prior=Prior("normal", (0.2, 0.05))),
        Parameter("y", "float", 0.0, 1.0),
    ))  # fmt: skip
    proposer = create(engine, space, LOSS, seed=1, in_process=True)
    suggestions = [proposer.ask([], number, ask_seed(1, number)) for number in range(1, 11)]
    assert sum(abs(float(configuration["x"]) - 0.2) < 0.15 for configuration in suggestions) >= 7


def test_a_wrong_belief_is_overcome() -> None:
    space = Space.of((
        Parameter("x", "float", 0.0, 1.0, prior=Prior("normal", (0.2, 0.05))),
        Parameter("y", "float", 0.0, 1.0),
    ))  # fmt: skip
    proposer = create("auto", space, LOSS, seed=1, in_process=True)
    for number in range(1, 41):
        suggestion = proposer.ask([], number, ask_seed(1, number))
        loss = (float(suggestion["x"]) - 0.9) ** 2 + (float(suggestion["y"]) - 0.5) ** 2
        proposer.tell([Observation(number, suggestion, TrialState.COMPLETED, {"loss": loss})])
    assert abs(float(suggestion["x"]) - 0.9) < 0.1


def test_a_narrow_beta_prior_is_not_lost_to_rounding() -> None:
    density = Parameter("p", "float", 0.0, 1.0, prior=Prior("beta", (1500.0, 4500.0))).density()
    assert 0.23 < density.quantile(0.2) < 0.25 < density.quantile(0.8) < 0.27


@pytest.mark.parametrize(
    ("parameter", "believed"),
    [
        *(
            (Parameter("p", "float", -3.0, 7.0, prior=Prior("normal", (mean, std))), norm(mean, std))
            for mean in (-3.0, 0.0, 1.2345, 7.0)
            for std in (1e3, 3.0, 0.3, 1e-2, 1e-4, 1e-8)
        ),
        (Parameter("p", "float", -3.0, 7.0, prior=Prior("normal", (12.0, 1.0))), norm(12.0, 1.0)),
        (Parameter("p", "float", -3.0, 7.0, prior=Prior("normal", (1.2345, 1e-13))), norm(1.2345, 1e-13)),
        (Parameter("p", "float", -1e100, 1e100, prior=Prior("normal", (0.0, 1e-3))), norm(0.0, 1e-3)),
        *(
            (
                Parameter("p", "float", 1e-6, 10.0, log=log, prior=Prior("log_normal", (1e-3, factor))),
                lognorm(math.log(factor), scale=1e-3),
            )
            for log in (True, False)
            for factor in (1e6, 3.0, 1.01, 1 + 1e-5, 1 + 1e-10)
        ),
        *(
            (Parameter("p", "float", -3.0, 7.0, log=False, prior=Prior("beta", (a, b))), beta(a, b, -3.0, 10.0))
            for a, b in ((1, 1), (2, 8), (0.3, 0.4), (1500, 4500), (1e9, 2e9), (3, 1e7))
        ),
        (Parameter("p", "float", 0.0, 1.0, prior=Prior("beta", (0.01, 99.0))), beta(0.01, 99.0)),
    ],
)
def test_a_prior_is_drawn_from_however_narrow_or_wide_it_is(parameter: Parameter, believed: Any) -> None:
    low, high = parameter.low or 0.0, parameter.high or 0.0
    lower = believed.cdf(high) <= 0.5

    def prior_cdf(value: float) -> float:
        """The share of the draws below a value."""
        whole = believed.cdf(high) - believed.cdf(low) if lower else believed.sf(low) - believed.sf(high)
        part = believed.cdf(value) - believed.cdf(low) if lower else believed.sf(low) - believed.sf(value)
        ends = (math.log(low), math.log(value), math.log(high)) if parameter.log else (low, value, high)
        return 0.9 * float(part / whole) + 0.1 * (ends[1] - ends[0]) / (ends[2] - ends[0])

    for place in range(1, 200):
        share = place / 200
        assert prior_cdf(float(parameter.drawn(share))) == pytest.approx(share, abs=3e-3)


def test_a_belief_in_whole_numbers_is_one_in_their_shares_of_the_range() -> None:
    random = Random(1)
    parameter = Parameter("p", "int", 1, 4, prior=Prior("beta", (1.0, 1.0)))
    counts = Counter(parameter.drawn(random.random()) for _ in range(8000))
    assert all(counts[number] == pytest.approx(2000, rel=0.1) for number in (1, 2, 3, 4))
    narrow = Parameter("p", "int", 1, 10**6, prior=Prior("normal", (4321.0, 1e-3)))
    assert sum(narrow.drawn(random.random()) == 4321 for _ in range(1000)) > 850
