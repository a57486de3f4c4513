"""Findings about a search state what was measured, and nothing that is unknown."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.findings import Finding, SearchFacts, findings
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Limit, Metric

SPACE = Space.of(
    (
        Parameter("lr", "float", 1e-5, 1e-1, log=True),
        Parameter("layers", "int", 1, 64),
        Parameter("opt", "categorical", choices=("adam", "sgd", "rmsprop")),
        Parameter("momentum", "float", 0.0, 1.0, when=(("opt", ("sgd",)),)),
    )
)
LOSS, GAIN = Metric("loss", "minimize"), Metric("loss", "maximize")


def configurations(count: int, seed: int = 1) -> list[Configuration]:
    chance = random.Random(seed)
    active_configurations: list[Configuration] = []
    for _ in range(count):
        values = {parameter.name: parameter.from_unit(chance.random()) for parameter in SPACE.parameters}
        active_configurations.append(SPACE.active(values))
    return active_configurations


def history(count: int, loss: Callable[[Configuration, int], float | None], stddev: float = 0.0) -> list[Observation]:
    observations = []
    for number, configuration in enumerate(configurations(count), start=1):
        value = loss(configuration, number)
        state = TrialState.FAILED if value is None else TrialState.COMPLETED
        metrics = {} if value is None else {"loss": value}
        observations.append(Observation(number, configuration, state, metrics, {"loss": stddev} if stddev else {}))
    return observations


def by_code(all_findings: list[Finding], code: str) -> list[Finding]:
    return [finding for finding in all_findings if finding.code == code]


@pytest.mark.parametrize(("metric", "word"), [(LOSS, "smaller"), (GAIN, "larger")])
def test_it_is_said_which_way_a_parameter_matters_and_nothing_of_those_that_do_not(metric: Metric, word: str) -> None:
    directions = by_code(
        findings(SPACE, metric, history(60, lambda configuration, _: float(configuration["layers"]))), "direction"
    )
    assert [finding.parameter for finding in directions] == ["layers"]
    assert directions[0].message == f"{word} values went with a better loss (rank correlation 1.00, 60 trials)"


def test_the_choice_with_the_best_median_is_named_before_the_others() -> None:
    worth = {"adam": 1.0, "sgd": 2.0, "rmsprop": 3.0}
    [finding] = by_code(
        findings(SPACE, LOSS, history(60, lambda configuration, _: worth[str(configuration["opt"])])), "choice"
    )
    assert finding == Finding(
        "choice", "adam has the best median loss: 1 (19 trials), then sgd 2 (17), rmsprop 3 (24)", "opt"
    )


def test_choices_with_equal_medians_are_named_together() -> None:
    worth = {"adam": 1.0, "sgd": 2.0, "rmsprop": 1.0}
    [finding] = by_code(
        findings(SPACE, LOSS, history(60, lambda configuration, _: worth[str(configuration["opt"])])), "choice"
    )
    assert finding.message == "adam and rmsprop have the best median loss: 1 (19 and 24 trials), then sgd 2 (17)"


@pytest.mark.parametrize("count", [12, 40])
def test_what_chance_does_often_is_not_told(count: int) -> None:
    chance, count_of_findings = random.Random(1), 0
    for _ in range(100):
        trial_findings = findings(SPACE, LOSS, history(count, lambda *_: chance.gauss(0, 1)))
        count_of_findings += len(by_code(trial_findings, "direction")) + len(by_code(trial_findings, "choice"))
    assert count_of_findings < 10


def test_the_best_values_at_a_bound_ask_for_a_wider_range() -> None:
    near = history(200, lambda configuration, _: float(configuration["lr"]))
    crowd = [
        Observation(200 + number, {**near[0].parameters, "lr": 1e-5 * (1 + number / 100)}, TrialState.COMPLETED,
                    {"loss": -float(30 - number)})
        for number in range(1, 30)
    ]  # fmt: skip
    [finding] = by_code(findings(SPACE, LOSS, near + crowd), "at_bound")
    assert finding.parameter == "lr"
    assert "next to the lower bound 1e-05" in finding.message


def test_a_bound_is_not_asked_about_where_as_many_are_as_good_elsewhere() -> None:
    """Of equal values the first to come are no better, and a grid begins at a bound."""
    space = Space.of((Parameter("x", "float", 0.0, 1.0, step=0.01),))

    def bound_findings(loss: Callable[[float], float]) -> list[Finding]:
        trials = [Observation(i + 1, {"x": i / 100}, TrialState.COMPLETED, {"loss": loss(i / 100)}) for i in range(101)]
        return by_code(findings(space, LOSS, trials), "at_bound")

    assert not bound_findings(lambda x: 1.0)
    assert not bound_findings(lambda x: float(x > 0.5))
    assert bound_findings(lambda x: float(x > 0.03))[0].message.startswith(
        "4 of the best 4 trials have a value next to the lower"
    )


@pytest.mark.parametrize(("best", "code"), [(3, "converged"), (39, "improving"), (30, "best")])
def test_it_is_said_whether_the_search_still_gets_better(best: int, code: str) -> None:
    trials = history(40, lambda _, number: 0.0 if number == best else 1.0 + number)
    first = findings(SPACE, LOSS, trials)[0]
    assert first.code == code
    assert f"came from trial {best}" in first.message


def test_nothing_is_foretold_of_trials_to_come() -> None:
    first = findings(SPACE, LOSS, history(10, lambda _, number: 0.0 if number == 5 else 1.0 + number))[0]
    assert (
        first.message
        == "the best loss, 0, came from trial 5, and none of the 5 trials that finished after it was better"
    )


@pytest.mark.parametrize(("count", "code"), [(8, "converged"), (39, "improving")])
def test_of_several_metrics_the_search_gets_better_while_the_front_grows(count: int, code: str) -> None:
    both = (LOSS, Metric("size", "minimize"), Metric("time", "minimize", limit=Limit(1.0, False), optimized=False))

    def measured(place: int) -> dict[str, float]:
        if place > count:
            return {"loss": 5.0 + place, "size": 9.0, "time": 2.0 if place % 2 else 1.0}
        return {"loss": 1.0 + place, "size": -place, "time": 1.0}

    trials = [
        Observation(each.number, each.parameters, each.state, measured(each.number))
        for each in history(40, lambda _, number: 1.0)
    ]
    for metric in both[:2]:
        first = findings(SPACE, metric, trials, both)[0]
        assert first.code == code
        assert first.message.startswith(
            f"the last trial to join the Pareto front, now of {count} trials, was trial {count}, "
        )


def test_of_a_metric_that_only_has_a_limit_it_is_said_whether_the_one_with_a_goal_gets_better() -> None:
    gain, time = Metric("gain", "maximize"), Metric("time", "minimize", limit=Limit(9.0, False), optimized=False)
    trials = [
        Observation(
            each.number, each.parameters, each.state, {"gain": float(each.number), "time": float(each.number > 1)},
            {"gain": 1.5, "time": 2.0}
        )
        for each in history(40, lambda _, number: 1.0)
    ]  # fmt: skip
    first, second = findings(SPACE, time, trials, (gain, time))[:2]
    assert first.code == "improving"
    assert first.message.startswith("the best gain, 40, came from trial 40, the 40th of 40 to finish")
    assert second.message.startswith("1 other trial is within one standard deviation (1.5) of the best")


def test_medians_of_huge_values_are_told() -> None:
    worth = {"adam": -1.7e308, "sgd": 1.7e308, "rmsprop": 1.0}
    trials = [
        Observation(place, {"opt": choice}, TrialState.COMPLETED, {"loss": worth[choice]})
        for place, choice in enumerate(4 * list(worth), start=1)
    ]
    space = Space.of((Parameter("opt", "categorical", choices=tuple(worth)),))
    [finding] = by_code(findings(space, LOSS, trials), "choice")
    assert (
        finding.message == "adam has the best median loss: -1.7e+308 (4 trials), then rmsprop 1 (4), sgd 1.7e+308 (4)"
    )


def test_failures_that_lie_together_are_told_with_how_many_lie_there() -> None:
    trials = history(60, lambda configuration, _: None if float(configuration["layers"]) > 48 else 1.0)
    [finding] = by_code(findings(SPACE, LOSS, trials), "failures")
    failed = sum(item.state is TrialState.FAILED for item in trials)
    assert finding.parameter == "layers"
    assert finding.message.startswith(f"{failed} of the {failed} failed trials have it in the upper half of its range")


def test_failures_that_lie_together_are_told_where_most_trials_failed() -> None:
    layers = iter([*range(40, 51), *range(1, 10)])
    trials = [
        Observation(number, {"layers": value}, TrialState.FAILED if value >= 8 else TrialState.COMPLETED, {"loss": 1.0})
        for number, value in enumerate(layers, 1)
    ]
    space = Space.of((Parameter("layers", "int", 1, 50),))
    [finding] = by_code(findings(space, LOSS, trials), "failures")
    assert finding.message == "11 of the 13 failed trials have it in the upper half of its range; 11 of all 20 have"


def test_of_several_choices_that_fail_the_one_that_fails_most_is_told() -> None:
    space = Space.of((Parameter("opt", "categorical", choices=("adam", "sgd", "lion", "lamb", "adagrad")),))
    fail = {"sgd": 14, "lamb": 20}
    trials = [
        Observation(
            20 * place + number,
            {"opt": choice},
            TrialState.FAILED if number <= fail.get(str(choice), 0) else TrialState.COMPLETED,
            {"loss": 1.0},
        )
        for place, choice in enumerate(space.parameters[0].choices)
        for number in range(1, 21)
    ]
    [finding] = by_code(findings(space, LOSS, trials), "failures")
    assert finding.message == "20 of the 34 failed trials have it at lamb; 20 of all 100 have"


def test_a_thousand_choices_are_not_compared_with_each_trial() -> None:
    compared = 0

    class Choice(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    choices = tuple(Choice(f"v{number}") for number in range(1000))
    space = Space((Parameter("opt", "categorical", choices=choices),))
    trials = [
        Observation(number, {"opt": choices[number]}, TrialState.FAILED if number % 3 else TrialState.COMPLETED, {})
        for number in range(1, 61)
    ]
    findings(space, LOSS, trials)
    assert compared < 1000


def test_failures_that_lie_anywhere_are_blamed_on_nothing() -> None:
    trials = history(200, lambda _, number: None if number % 4 == 0 else 1.0)
    assert not by_code(findings(SPACE, LOSS, trials), "failures")


def test_trials_within_the_noise_of_the_best_are_counted() -> None:
    trials = history(5, lambda _, number: float(number), stddev=1.5)
    [finding] = by_code(findings(SPACE, LOSS, trials), "ties")
    assert finding.message.startswith("1 other trial is within one standard deviation (1.5)")


def test_the_noise_of_a_mean_over_folds_is_called_its_standard_error() -> None:
    trials = history(5, lambda _, number: float(number), stddev=1.5)
    [finding] = by_code(findings(SPACE, LOSS, trials, folds=5), "ties")
    assert finding.message.startswith("1 other trial is within one standard error of 5 folds (1.5) of the best")


def test_the_best_trial_is_one_that_keeps_every_limit() -> None:
    limited = Metric("loss", "minimize", limit=Limit(20.0, least=True))
    trials = history(40, lambda _, number: float(number), stddev=1.5)
    all_findings = findings(SPACE, limited, trials, (limited,))
    assert all_findings[0].message.startswith("the best loss, 20, came from trial 20")
    assert by_code(all_findings, "ties")[0].message.startswith("1 other trial is within one standard deviation (1.5)")
    upper = history(40, lambda configuration, _: float(configuration["layers"]))
    assert by_code(findings(SPACE, LOSS, upper), "at_bound"), "the best have few layers"
    layers = Metric("loss", "minimize", limit=Limit(30.0, least=True))
    assert not by_code(findings(SPACE, layers, upper, (layers,)), "at_bound"), "the best that count have some 30"


def test_a_configuration_that_came_twice_is_counted() -> None:
    trials = history(5, lambda _, number: float(number))
    [finding] = by_code(findings(SPACE, LOSS, [*trials, *trials[:2]]), "duplicates")
    assert finding.message.startswith("2 trials repeated the configuration")
    [finding] = by_code(findings(SPACE, LOSS, [*trials, trials[0]]), "duplicates")
    assert finding.message.startswith("1 trial repeated the configuration")


def test_of_a_selection_the_best_and_what_came_twice_are_told_of_all_trials() -> None:
    trials = history(40, lambda configuration, _: float(configuration["layers"]), stddev=1.0)
    best = Observation(777, trials[0].parameters, TrialState.COMPLETED, {"loss": 0.5}, {"loss": 1.0})
    all_findings = findings(SPACE, LOSS, trials, whole=SearchFacts(4000, {1234: best}, 7))
    assert all_findings[0].message.startswith(
        "the best loss, 0.5, came from trial 777, and none of the 2766 trials that finished after"
    )
    near = sum(float(trial.parameters["layers"]) <= 1.5 for trial in trials)
    assert [finding.message.split(" ")[0] for finding in by_code(all_findings, "ties")] == ([str(near)] if near else [])
    assert by_code(all_findings, "duplicates")[0].message.startswith("7 trials repeated the configuration")
    assert "even sample of 40 of the 4000 trials" in by_code(all_findings, "selection")[0].message
    assert by_code(all_findings, "direction")[0].parameter == "layers"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_little_is_said_of_few_trials(count: int) -> None:
    all_findings = findings(SPACE, LOSS, history(count, lambda configuration, _: float(configuration["layers"])))
    assert all(finding.parameter is None for finding in all_findings)


def test_nothing_is_made_of_trials_that_all_failed_or_are_all_the_same() -> None:
    assert not by_code(findings(SPACE, LOSS, history(40, lambda *_: None)), "best")
    same = findings(SPACE, LOSS, history(40, lambda *_: 1.0))
    assert not [finding for finding in same if finding.code in ("direction", "choice")]


def test_a_front_of_one_trial_is_one_trial() -> None:
    metrics = (LOSS, Metric("size", "minimize"))
    values = {"loss": 1.0, "size": 1.0}
    done = [
        Observation(
            number, configuration, TrialState.COMPLETED, {name: number * value for name, value in values.items()}
        )
        for number, configuration in enumerate(configurations(3), start=1)
    ]
    assert "the Pareto front, now of one trial, was trial 1" in findings(SPACE, LOSS, done, metrics)[0].message


def test_one_and_true_are_two_choices() -> None:
    space = Space.of((Parameter("a", "categorical", choices=(1, True)),))
    done = [
        Observation(number, {"a": (1, True)[number % 2]}, TrialState.COMPLETED, {"loss": float(number % 2)})
        for number in range(1, 21)
    ]
    [finding] = by_code(findings(space, LOSS, done), "choice")
    assert finding.message == "1 has the best median loss: 0 (10 trials), then true 1 (10)"
