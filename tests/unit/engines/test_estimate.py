"""Which of the configurations tried is best, where values are noisy."""

from __future__ import annotations

import math
import random
import warnings
from typing import Literal

import numpy as np
import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Limit, Metric, pareto_front
from orchestune.engines.models import estimate
from orchestune.engines.models.cube import Floats
from orchestune.engines.models.estimate import MIN_RESULTS, best_estimate, expected_front
from orchestune.engines.models.kernel import Scales

SPACE = Space.of((Parameter("x", "float", 0.0, 1.0),))
LOSS = (Metric("loss", "minimize"),)
LUCKY = 99

# fmt: off
CLASSIFIER: list[tuple[float, str, float | None, float, float]] = [
    (0.000316, "elasticnet", 0.5, 0.9121, 0.0282), (0.00245, "l1", None, 0.9093, 0.0232),
    (0.00202, "l2", None, 0.9071, 0.0252), (4.38e-06, "l1", None, 0.9082, 0.0293),
    (1.42e-05, "elasticnet", 0.396, 0.9104, 0.0201), (0.000769, "l2", None, 0.9032, 0.0278),
    (0.036, "elasticnet", 0.108, 0.9143, 0.0277), (2.85e-05, "l1", None, 0.9093, 0.0231),
    (0.000477, "elasticnet", 0.976, 0.916, 0.0269), (1e-06, "elasticnet", 0.0, 0.906, 0.0193),
    (0.0514, "elasticnet", 0.013, 0.9093, 0.0233), (0.1, "elasticnet", 0.229, 0.9071, 0.0237),
    (9.88e-06, "l2", None, 0.9093, 0.0246), (0.1, "elasticnet", 1.0, 0.5064, 0.0587),
    (0.0252, "l2", None, 0.9071, 0.0271), (0.1, "elasticnet", 0.0, 0.906, 0.0288),
    (0.00445, "elasticnet", 0.926, 0.9104, 0.025), (1e-06, "l1", None, 0.9082, 0.0237),
    (8.16e-05, "elasticnet", 0.742, 0.9126, 0.0233), (0.000268, "elasticnet", 0.161, 0.9037, 0.0242),
    (0.00675, "elasticnet", 0.609, 0.9082, 0.027), (0.1, "l1", None, 0.478, 0.0451),
    (0.000111, "l2", None, 0.9043, 0.0298), (1e-06, "elasticnet", 1.0, 0.9059, 0.0213),
    (4.81e-05, "elasticnet", 0.805, 0.9093, 0.0206), (3.57e-05, "elasticnet", 0.0, 0.9048, 0.0238),
    (0.00151, "elasticnet", 0.789, 0.9187, 0.0292), (0.0982, "elasticnet", 1.0, 0.5092, 0.0404),
    (9.81e-05, "elasticnet", 0.716, 0.9076, 0.023), (1e-06, "l2", None, 0.9082, 0.0233),
    (0.0141, "l1", None, 0.8703, 0.035), (0.000376, "elasticnet", 0.0, 0.8998, 0.0236),
    (0.000832, "l1", None, 0.9176, 0.0363), (1e-06, "elasticnet", 1.0, 0.9093, 0.028),
    (0.00111, "elasticnet", 0.816, 0.9182, 0.0292), (1e-06, "elasticnet", 0.008, 0.9054, 0.0264),
    (0.00153, "l1", None, 0.9104, 0.0258), (0.000371, "l1", None, 0.9126, 0.0322),
    (0.00161, "elasticnet", 0.86, 0.9215, 0.0234), (1e-06, "elasticnet", 1.0, 0.9082, 0.0318),
]
# fmt: on
"""a search of the README: what was tried, and the accuracy with its deviation over folds"""


def bowl(x: float) -> float:
    return 4 * (x - 0.3) ** 2


def observed(number: int, x: float, value: float, stddev: float = 0.3, **more: float) -> Observation:
    spread = {"loss": stddev} if stddev else {}
    return Observation(number, {"x": x}, TrialState.COMPLETED, {"loss": value, **more}, spread)


def history(seed: int, sign: float = 1.0, unit: float = 1.0, level: float = 0.0) -> list[Observation]:
    """Forty noisy values of a bowl, and one beside its middle that was lucky."""
    chance = random.Random(seed)
    observations = [
        observed(number, x, sign * unit * (bowl(x) + chance.gauss(0, 0.3)) + level, 0.3 * unit)
        for number, x in enumerate((chance.random() for _ in range(40)), 1)
    ]
    return [*observations, observed(LUCKY, 0.65, sign * unit * -0.9 + level, 0.3 * unit)]


@pytest.mark.parametrize("seed", range(5))
def test_the_luckiest_value_is_not_the_best_configuration(seed: int) -> None:
    trials = history(seed)
    best = best_estimate(SPACE, LOSS, trials)
    assert best is not None
    assert min(trials, key=lambda each: each.metrics["loss"]).number == LUCKY != best.number
    place = next(float(each.parameters["x"]) for each in trials if each.number == best.number)
    assert abs(place - 0.3) < 0.3
    assert abs(best.value - bowl(place)) < 4 * best.stddev and 0.01 < best.stddev < 0.3


@pytest.mark.parametrize(("noise", "reported", "at_most"), [(0.3, 0.3, 0.7), (0.05, 0.3, 0.17)])
def test_a_model_errs_less_than_luck(noise: float, reported: float, at_most: float) -> None:
    """Also where folds lie further apart than runs do: what they report is no noise of the value."""
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    lost = {"raw": 0.0, "expected": 0.0}
    for seed in range(12):
        chance = random.Random(seed)
        points = [(chance.random(), chance.random()) for _ in range(20)]
        near = [(chance.gauss(0.3, 0.15), chance.gauss(0.7, 0.2)) for _ in range(30)]
        points += [(min(1.0, max(0.0, x)), min(1.0, max(0.0, y))) for x, y in near]
        losses = {number: 4 * (x - 0.3) ** 2 + 2 * (y - 0.7) ** 2 for number, (x, y) in enumerate(points)}
        trials = [
            Observation(
                number,
                {"x": points[number][0], "y": points[number][1]},
                TrialState.COMPLETED,
                {"loss": value + chance.gauss(0, noise)},
                {"loss": reported},
            )
            for number, value in losses.items()
        ]
        best = best_estimate(space, LOSS, trials)
        assert best is not None
        lowest = min(losses.values())
        lost["raw"] += losses[min(trials, key=lambda each: each.metrics["loss"]).number] - lowest
        lost["expected"] += losses[best.number] - lowest
    assert lost["expected"] < at_most * lost["raw"]


def test_direction_and_unit_of_the_metric_do_not_matter() -> None:
    plain = best_estimate(SPACE, LOSS, history(1))
    up = best_estimate(SPACE, (Metric("loss", "maximize"),), history(1, sign=-1.0, unit=1e6, level=5e6))
    assert plain is not None and up is not None
    assert up.number == plain.number
    assert (5e6 - up.value) / 1e6 == pytest.approx(plain.value, abs=1e-3)
    assert up.stddev / 1e6 == pytest.approx(plain.stddev, rel=1e-2)


def test_only_what_keeps_the_limits_can_be_best() -> None:
    metrics = (*LOSS, Metric("size", "minimize", limit=Limit(1.0, False), optimized=False))
    trials = [
        observed(
            each.number,
            float(each.parameters["x"]),
            each.metrics["loss"],
            size=2.0 * (float(each.parameters["x"]) < 0.5),
        )
        for each in history(2)
    ]
    best = best_estimate(SPACE, metrics, trials)
    assert best is not None
    assert next(float(each.parameters["x"]) for each in trials if each.number == best.number) >= 0.5
    none = [observed(each.number, 0.1, each.metrics["loss"], size=3.0) for each in trials]
    assert best_estimate(SPACE, metrics, none) is None


def test_nothing_is_estimated_without_noise_with_few_results_or_with_two_objectives() -> None:
    trials = history(3)
    assert (
        best_estimate(SPACE, LOSS, [observed(o.number, float(o.parameters["x"]), 1.0 * o.number, 0.0) for o in trials])
        is None
    )
    assert best_estimate(SPACE, LOSS, trials[: MIN_RESULTS - 1]) is None
    assert best_estimate(SPACE, LOSS, trials[:MIN_RESULTS]) is not None
    assert best_estimate(SPACE, LOSS, [observed(n, n / 20, 0.5) for n in range(20)]) is None  # all the same
    two = (*LOSS, Metric("other", "minimize"))
    assert best_estimate(SPACE, two, [observed(o.number, 0.5, o.metrics["loss"], other=1.0) for o in trials]) is None


def test_failures_and_values_that_diverged_do_no_harm() -> None:
    trials = history(4)
    trials += [
        Observation(200, {"x": 0.3}, TrialState.FAILED),
        observed(201, 0.31, 1e30),
        observed(202, 0.7, float("inf")),
    ]
    best = best_estimate(SPACE, LOSS, trials)
    assert best is not None and best.number < LUCKY


def noisy_trade_off(seed: int) -> tuple[list[Observation], dict[int, tuple[float, float]]]:
    """Sixty noisy pairs; the front is where `y` is 0.3, for any `x`."""
    chance = random.Random(seed)
    true: dict[int, tuple[float, float]] = {}
    trials: list[Observation] = []
    for number in range(1, 61):
        x, y = chance.random(), min(1.0, max(0.0, chance.gauss(0.35, 0.2)))
        true[number] = (x + 2 * abs(y - 0.3), 1 - x + 2 * abs(y - 0.3))
        values = {name: value + chance.gauss(0, 0.25) for name, value in zip("ab", true[number], strict=True)}
        trials.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, values, {"a": 0.25, "b": 0.25}))
    return trials, true


def test_a_fit_with_very_many_parameters_is_no_larger_than_one_for_a_suggestion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It took two thirds of a gigabyte with a thousand."""
    shapes: list[tuple[int, ...]] = []

    def fitted(features: Floats, *args: object, **options: object) -> Scales:
        shapes.append(features.shape)
        return Scales(np.ones(400), 1.0, 0.1)

    monkeypatch.setattr(estimate, "fit", fitted)
    space = Space.of(tuple(Parameter(f"x{index}", "float", 0.0, 1.0) for index in range(400)))
    chance = random.Random(1)
    trials = [
        Observation(number, {name: chance.random() for name in space.by_name}, TrialState.COMPLETED,
                    {"loss": chance.random()}, {"loss": 0.1})
        for number in range(1, 131)
    ]  # fmt: skip
    assert best_estimate(space, LOSS, trials) is not None
    assert shapes == [(100, 400)]


def test_the_front_of_noisy_metrics_is_that_of_what_is_expected() -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    both = (Metric("a", "minimize"), Metric("b", "minimize"))
    lost = {"raw": 0.0, "expected": 0.0}
    for seed in range(8):
        trials, true = noisy_trade_off(seed)
        expected = expected_front(space, both, trials)
        assert expected is not None
        raw = pareto_front(both, [(each.number, each.metrics) for each in trials])
        for name, front in (("raw", raw), ("expected", expected)):
            lost[name] += sum(sum(true[number]) - 1 for number in front) / len(front) / 8
    assert lost["expected"] < 0.7 * lost["raw"], lost


def test_the_front_is_the_raw_one_where_nothing_says_how_noisy_it_is() -> None:
    both = (Metric("loss", "minimize"), Metric("size", "minimize"))
    assert (
        expected_front(SPACE, both, [observed(n, n / 20, bowl(n / 20), 0.0, size=float(n)) for n in range(20)]) is None
    )
    assert (
        expected_front(SPACE, both, [observed(n, n / 20, bowl(n / 20), size=float(n)) for n in range(MIN_RESULTS - 1)])
        is None
    )
    assert expected_front(SPACE, LOSS, [observed(n, n / 20, bowl(n / 20)) for n in range(20)]) is None


def test_what_exceeds_a_limit_is_on_no_front() -> None:
    both = (Metric("loss", "minimize"), Metric("size", "minimize", limit=Limit(10.0, False)))
    front = expected_front(SPACE, both, [observed(n, n / 20, bowl(n / 20), size=float(n)) for n in range(1, 20)])
    assert front and max(front) <= 10


@pytest.mark.parametrize("seed", [13, 18])
def test_what_is_small_beside_the_reported_noise_is_seen_where_many_values_bear_it_out(seed: int) -> None:
    """The folds of a cross-validation lie ten times as far apart as runs do, and a corner of the space diverges."""
    chance = random.Random(seed)
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    trials = []
    for number in range(1, 41):
        x, y = chance.random(), chance.random()
        if number > 34:
            x = 0.6 + 0.03 * chance.gauss(0, 1)
        loss = 1 - 0.012 * math.exp(-(((x - 0.6) / 0.08) ** 2)) + (0.4 if x > 0.93 and y > 0.5 else 0.0)
        metrics = {"loss": loss + 0.003 * chance.gauss(0, 1)}
        trials.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, metrics, {"loss": 0.03}))
    best = best_estimate(space, LOSS, trials)
    assert best is not None
    assert abs(float(trials[best.number - 1].parameters["x"]) - 0.6) < 0.1


@pytest.mark.parametrize("diverged", [3.0, 100.0])
def test_a_few_that_diverged_do_not_make_clearly_worse_trials_seem_as_good(diverged: float) -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    lost = {"raw": 0.0, "expected": 0.0}
    for seed in range(10):
        chance = random.Random(seed)
        true = {}
        trials = []
        for number in range(30):
            x, y = chance.random(), chance.random()
            true[number] = (x - 0.3) ** 2 + (y - 0.6) ** 2
            value = diverged if number in (5, 17, 22) else true[number] + chance.gauss(0, 0.02)
            trials.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, {"loss": value}, {"loss": 0.02}))
        best = best_estimate(space, LOSS, trials)
        assert best is not None
        lost["raw"] += true[min(trials, key=lambda each: each.metrics["loss"]).number]
        lost["expected"] += true[best.number]
    assert lost["expected"] < lost["raw"], lost


@pytest.mark.parametrize("penalty", [1e4, 1e9, 1.7e308])
@pytest.mark.parametrize("share", [0.25, 0.4, 0.6])
def test_what_is_expected_is_near_what_was_measured_however_many_trials_report_a_penalty(
    share: float, penalty: float
) -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    for seed in range(3):
        chance = random.Random(seed)
        true, trials = {}, []
        for number in range(60):
            x, y = chance.random(), chance.random()
            true[number] = (x - 0.3) ** 2 + (y - 0.6) ** 2
            value = penalty if number < 60 * share else true[number] + chance.gauss(0, 0.02)
            trials.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, {"loss": value}, {"loss": 0.02}))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            best = best_estimate(space, LOSS, trials)
        assert best is not None
        assert abs(best.value - true[best.number]) < 0.06
        assert best.stddev < 0.06


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_what_is_expected_of_the_largest_numbers_is_a_number(goal: Literal["minimize", "maximize"]) -> None:
    worst = 1.7e308 if goal == "minimize" else -1.7e308
    values = [worst * (1 - place / 10) for place in range(21)]  # from one end of what there is to the other
    history = [
        Observation(place + 1, {"x": place / 20}, TrialState.COMPLETED, {"loss": value}, {"loss": 1e307})
        for place, value in enumerate(values)
    ]
    best = best_estimate(SPACE, [Metric("loss", goal)], history)
    assert best is not None
    assert best.number == 21
    assert best.value == pytest.approx(-worst, rel=0.1)
    assert math.isfinite(best.stddev)


def test_nothing_is_expected_where_all_but_a_few_results_are_penalties() -> None:
    values = [0.5, 0.4, 1e9, 0.3, 1e9, 1e9, 0.6, 1e9, 0.2, 0.45, 1e9, 1e9]
    trials = [
        Observation(number, {"x": number / 12}, TrialState.COMPLETED, {"loss": value}, {"loss": 0.02})
        for number, value in enumerate(values)
    ]
    assert best_estimate(SPACE, LOSS, trials) is None


def test_a_few_that_are_far_worse_do_not_hide_what_the_others_differ_by() -> None:
    """Trials 27, 35 and 39 have 0.916 to 0.918 in the mean of five repetitions, trial 9 has 0.910."""
    space = Space.of(
        (
            Parameter("alpha", "float", 1e-6, 0.1, log=True),
            Parameter("penalty", "categorical", choices=("l1", "l2", "elasticnet")),
            Parameter("l1_ratio", "float", 0.0, 1.0, when=(("penalty", ("elasticnet",)),)),
        )
    )
    trials = []
    for number, (alpha, penalty, ratio, accuracy, spread) in enumerate(CLASSIFIER, start=1):
        configuration = space.active({"alpha": alpha, "penalty": penalty, "l1_ratio": ratio or 0.0})
        trials.append(
            Observation(number, configuration, TrialState.COMPLETED, {"accuracy": accuracy}, {"accuracy": spread})
        )
    best = best_estimate(space, (Metric("accuracy", "maximize"),), trials)
    assert best is not None and best.number in (27, 35, 39)


@pytest.mark.parametrize("stddev", [0.1, 0.01, 0.001])
def test_what_is_better_than_all_others_by_many_deviations_is_the_best(stddev: float) -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
    for seed in range(10):
        chance = random.Random(seed)
        trials = []
        for number in range(20):
            x, y = chance.random(), chance.random()
            metrics = {"loss": 0.0 if number == 12 else 2 + 0.3 * x}
            trials.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, metrics, {"loss": stddev}))
        best = best_estimate(space, LOSS, trials)
        assert best is not None and best.number == 12, seed


def test_the_front_holds_what_is_better_by_many_deviations() -> None:
    both = (Metric("loss", "minimize"), Metric("size", "minimize"))
    values = [(1.0, 1.0), (1.0, 1.0), (0.0, 0.0), *[(2.0, 0.0)] * 10]
    trials = [observed(n, n / 13, loss, 0.1, size=size) for n, (loss, size) in enumerate(values)]
    assert expected_front(SPACE, both, trials) == [2]
    trials = [observed(n, n / 13, loss, 0.1, size=size) for n, (loss, size) in enumerate([*values, (9.0, 0.0)])]
    assert expected_front(SPACE, both, trials) == [2]
