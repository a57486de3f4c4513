from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from orchestune.engines.models.cube import Floats
from orchestune.engines.models.fitting import _Target, fit
from orchestune.engines.models.kernel import Scales, covariance, distances, matern, squared_differences, sum_and_slopes
from orchestune.engines.models.posterior import Posterior, _log_improvement
from orchestune.engines.models.training_data import TrainingData
from orchestune.engines.models.warping import Warping, warped

NUMERIC = np.array([True, True, False])


def features(count: int) -> Floats:
    random = np.random.default_rng(count)
    rows = random.random((count, 3))
    rows[:, 2] = random.integers(0, 3, count)
    return rows


def training_data(points: Floats, values: Floats, variance: float = 0.0, reported: float = 0.0) -> TrainingData:
    count = len(points)
    return TrainingData(points, values, np.full(count, variance), np.full(count, reported))


@pytest.mark.parametrize("reported", [0.0, 0.2])
@pytest.mark.parametrize("additive", [False, True])
def test_the_slope_of_the_fit_is_that_of_its_value(additive: bool, reported: float) -> None:
    points = features(12)
    values = np.random.default_rng(5).standard_normal(12)
    target = _Target(squared_differences(points, NUMERIC), training_data(points, values, 0.01, reported), additive)
    at = np.array([0.1, -0.3, 0.5, 0.2, -2.0] + [-0.5, -0.2, 0.3, 0.4] * additive + [-0.7] * (reported > 0))
    step = 1e-5
    expected = [(target(at + step * e)[0] - target(at - step * e)[0]) / (2 * step) for e in np.eye(len(at))]
    assert target(at)[1] == pytest.approx(expected, rel=1e-5)


def test_a_coordinate_that_does_not_matter_gets_a_small_weight() -> None:
    points = features(60)
    values = np.sin(5 * points[:, 0]) + (points[:, 2] == 1)
    scales = fit(points, training_data(points, (values - values.mean()) / values.std()), NUMERIC)
    assert scales.weights[1] < scales.weights[0] / 20
    assert scales.weights[1] < scales.weights[2] / 20
    assert scales.noise < 0.01


def test_noise_that_nobody_reported_is_found() -> None:
    random = np.random.default_rng(3)
    points = features(120)
    values = np.sin(5 * points[:, 0]) + 0.3 * random.standard_normal(120)
    deviation = values.std()
    scales = fit(points, training_data(points, (values - values.mean()) / deviation), NUMERIC)
    assert math.sqrt(scales.noise) * deviation == pytest.approx(0.3, rel=0.3)


@pytest.mark.parametrize(("claimed", "borne_out"), [(0.3, 1.0), (1.8, 1 / 6)])
def test_of_the_noise_that_is_reported_as_much_counts_as_the_values_bear_out(claimed: float, borne_out: float) -> None:
    random = np.random.default_rng(3)
    points = features(120)
    values = np.sin(5 * points[:, 0]) + 0.3 * random.standard_normal(120)
    deviation = values.std()
    evidence = training_data(points, (values - values.mean()) / deviation, reported=(claimed / deviation) ** 2)
    scales = fit(points, evidence, NUMERIC)
    noise = math.sqrt(scales.noise + float(evidence.noise(scales)[0])) * deviation
    assert noise == pytest.approx(0.3, rel=0.3)
    assert math.sqrt(scales.trust) == pytest.approx(borne_out, rel=0.35)


def test_shorter_lengths_are_as_if_the_points_were_further_apart() -> None:
    numeric, random = np.array([True, True]), np.random.default_rng(3)
    points, others = random.random((5, 2)), random.random((4, 2))
    scales = Scales(np.array([2.0, 0.5]), 1.3, 0.01, np.array([1.5, 0.7]), 0.4)
    expected = covariance(4 * points, 4 * others, numeric, scales)
    assert covariance(points, others, numeric, scales.shortened(4)) == pytest.approx(expected)


def test_distances_agree_with_the_differences_that_a_fit_is_made_of() -> None:
    points, weights = features(9), np.array([2.0, 0.5, 3.0])
    expected = np.einsum("d,dij->ij", weights, squared_differences(points, NUMERIC))
    assert distances(points, points, NUMERIC, weights) == pytest.approx(expected, abs=1e-12)


def test_covariances_agree_with_what_a_fit_is_made_of() -> None:
    points = features(9)
    scales = Scales(np.array([2.0, 0.5, 3.0]), 1.5, 0.1, np.array([1.0, 4.0, 0.5]), 0.7)
    total, _ = sum_and_slopes(np.sqrt(squared_differences(points, NUMERIC)), np.array([1.0, 4.0, 0.5]))
    product = matern(distances(points, points, NUMERIC, scales.weights))
    assert covariance(points, points, NUMERIC, scales) == pytest.approx(1.5 * product + 0.7 * total, abs=1e-7)
    assert covariance(points, points, NUMERIC, scales).diagonal() == pytest.approx(scales.variance, abs=1e-7)


def test_what_one_coordinate_does_is_learnt_whatever_the_others_are() -> None:
    random = np.random.default_rng(1)
    points, elsewhere = random.random((60, 8)), random.random((200, 8))
    numeric = np.full(8, True)

    def loss(x: Floats) -> Floats:
        losses: Floats = np.sin(9 * x).sum(axis=1)
        return losses

    error = {}
    for additive in (False, True):
        values = loss(points)
        scales = fit(points, training_data(points, values / values.std()), numeric, additive=additive)
        expected = Posterior(scales, points, values / values.std(), np.zeros(60), np.empty((0, 8)), numeric)
        error[additive] = np.abs(expected.at(elsewhere)[0] * values.std() - loss(elsewhere)).mean()
    assert error[True] < error[False] / 3


def posterior(pending: Floats, noise: float = 1e-6, variance: float = 0.0) -> Posterior:
    points = features(20)
    values = 3 * (points[:, 0] - 0.6) ** 2 + 0.2 * points[:, 2]
    scales = Scales(np.array([4.0, 0.1, 1.0]), 1.0, noise)
    return Posterior(scales, points, values, np.full(20, variance), pending, NUMERIC)


def test_a_posterior_goes_through_its_points_and_is_unsure_far_from_them() -> None:
    model = posterior(np.empty((0, 3)))
    points = features(20)
    mean, deviation = model.at(points)
    assert mean == pytest.approx(3 * (points[:, 0] - 0.6) ** 2 + 0.2 * points[:, 2], abs=0.01)
    assert deviation.max() < 0.01
    assert model.at(np.array([[0.5, 0.5, 7.0]]))[1][0] > 0.5


def test_what_is_pending_leaves_expectations_and_takes_the_reason_to_go_there() -> None:
    place = np.array([[0.9, 0.1, 2.0]])
    before, after = posterior(np.empty((0, 3))), posterior(place)
    elsewhere = features(7)
    assert after.at(elsewhere)[0] == pytest.approx(before.at(elsewhere)[0], abs=1e-6)
    assert after.log_improvement(place)[0] < before.log_improvement(place)[0] - 3


def test_a_value_with_a_large_reported_deviation_weighs_little() -> None:
    sure, unsure = posterior(np.empty((0, 3))), posterior(np.empty((0, 3)), variance=5.0)
    assert np.abs(unsure.expected).max() < np.abs(sure.expected).max() / 2


@pytest.mark.parametrize("z", [3.0, 0.5, 0.0, -0.99, -1.01, -3.0, -8.0])
def test_the_logarithm_of_the_expected_improvement_is_that_of_the_integral(z: float) -> None:
    expected = quad(lambda u: (z - u) * norm.pdf(u), z - 40, z, points=[z - 1, z - 0.1], epsabs=0, epsrel=1e-10)[0]
    assert _log_improvement(np.array([z]))[0] == pytest.approx(math.log(expected), rel=1e-6)


def test_the_expected_improvement_keeps_its_order_where_it_is_too_small_for_a_float() -> None:
    improvements = _log_improvement(np.array([-1e8, -1e5, -2000.0, -900.0, -50.0, -40.0]))
    assert np.isfinite(improvements).all()
    assert (np.diff(improvements) > 0).all()


@pytest.mark.parametrize("how", ["plain", "power"])
@pytest.mark.parametrize(
    "losses",
    [[1.0, 2.0, 4.0, 900.0], [-1e308, 0.0, 1.0, 1e308], [5e-324, 0.0, 1e-323], [-3.0, -2.0, 1e300], [0.5, 0.5]],
)
def test_losses_of_any_size_come_out_finite_and_in_their_order(how: Warping, losses: list[float]) -> None:
    values, factor = warped(np.array(losses), how)
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 50
    assert (np.diff(values[np.argsort(losses)]) >= 0).all()
    assert math.isfinite(factor)


def test_losses_are_standardized_and_one_that_diverged_does_not_flatten_the_others() -> None:
    for diverged in (1e30, 1e300):
        values, factor = warped(np.concatenate([np.linspace(0, 1, 50), [diverged]]), "plain")
        assert values.mean() == pytest.approx(0, abs=1e-9)
        assert values.std() == pytest.approx(1)
        assert values[49] - values[0] > 0.5
        assert factor == pytest.approx(values[49] - values[0])


def test_nor_does_it_flatten_them_where_most_losses_are_equal() -> None:
    values, _ = warped(np.array([0.1, 0.2, *[0.9] * 8, 1e300]), "plain")
    assert values[2] - values[1] > 3 * (values[1] - values[0]) > 0.1


def test_equal_losses_have_no_scale() -> None:
    assert warped(np.full(4, 7.0), "power")[1] == 0.0


def test_the_correlation_falls_from_one() -> None:
    correlations = matern(np.array([0.0, 0.1, 1.0, 100.0]))
    assert correlations[0] == 1
    assert (np.diff(correlations) < 0).all()
