"""Noisy searches end by what is expected of their best trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestune.controllers.noisy_stopping import NoisyStopping
from orchestune.domain.specification.metrics import Limit, Metric
from orchestune.engines.process import analyses
from orchestune.engines.process.parent import EngineLost
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.memory.estimates import Estimates
from orchestune.services.queries import read_experiments
from tests.contract.world import CoreWorld

VALUES = [1.0, 1.1, 0.95, 1.0, 1.2, 0.95, 1.05, 1.0, 1.0, 1.1, 0.1, 1.0]
"""the one before the last is the best, by luck"""


class Expecting:
    """A model with predefined expectations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trial: int, value: float) -> None:
        self.asked: list[int] = []
        self._answer = (trial, value, 0.1)
        monkeypatch.setattr(analyses, "best_estimate", self._estimate)

    def _estimate(self, space: object, metrics: object, history: Sequence[object]) -> tuple[int, float, float]:
        self.asked.append(len(history))
        return self._answer


def searched(world: CoreWorld, rules: dict[str, Any], stddev: float | None, values: Sequence[float] = VALUES) -> str:
    """An experiment with so many results."""
    experiment = world.create(budget=60, parallelism=1, stop=rules)
    for value in values:
        worker, lease = world.lease()[0]
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", value, None, stddev]])])
    return experiment


def searched_for_two(
    world: CoreWorld, rules: dict[str, Any], spread: dict[str, float | None], values: Sequence[float] = VALUES
) -> str:
    """Run a search with two metrics, the second best at first, so that the eleventh trial joins the front."""
    metrics = [{"name": name, "goal": "minimize"} for name in ("loss", "size")]
    experiment = world.create(budget=60, parallelism=1, stop=rules, metrics=metrics)
    for number, value in enumerate(values):
        worker, lease = world.lease()[0]
        points = [[0, "loss", value, None, spread["loss"]], [0, "size", 5.0 + number, None, spread["size"]]]
        worker.call(finished=[worker.finish(lease, points=points)])
    return experiment


def judged(world: CoreWorld, experiment: str) -> dict[str, Any]:
    """Its status after the controllers have looked at it."""
    judging = NoisyStopping(world.core)
    judging.tick()
    world.tick(3)
    judging.tick()
    return world.status(experiment)


def test_a_lucky_value_does_not_reach_the_target(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    status = judged(world, searched(world, {"target": 0.5}, stddev=0.3))
    assert status["state"] == "running" and model.asked == [len(VALUES)]
    assert status["best"][0]["trial"] == 3


def test_the_best_of_a_search_that_ended_is_known_though_nobody_looked(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    experiment = searched(world, {}, stddev=0.3)
    world.tick()
    change_experiment.stop(world.core, experiment, "ada")
    world.tick(3)
    assert model.asked == [len(VALUES)]
    later = replace(world.core, estimates=Estimates())
    (item,) = read_experiments.statuses(later)["items"]
    assert item["best"][0]["trial"] == 3 and item["best"][0]["measured_best"] == 11


def test_what_is_expected_reaches_it(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    Expecting(monkeypatch, 3, 0.45)
    experiment = searched(world, {"target": 0.5}, stddev=0.3)
    assert world.status(experiment)["state"] == "running", "a model has no place where trials finish"
    status = judged(world, experiment)
    assert (status["state"], status["reason"]["code"]) == ("completed", "target")
    assert status["reason"]["message"] == "loss reached 0.45, the target was 0.5"
    assert status["counts"]["queued"] == status["counts"]["running"] == 0


def test_the_best_of_a_search_that_a_rule_ended_is_known_to_a_server_that_begins_later(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Expecting(monkeypatch, 3, 0.45)
    judged(world, searched(world, {"target": 0.5}, stddev=0.3))
    later = replace(world.core, estimates=Estimates())
    (item,) = read_experiments.statuses(later)["items"]
    assert item["best"][0]["trial"] == 3 and item["best"][0]["measured_best"] == 11
    assert model.asked == [len(VALUES)]


def test_a_search_whose_best_was_luck_is_futile(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    Expecting(monkeypatch, 3, 0.92)
    rules = {"futile": {"limit": 0.5, "after": 12, "side": "above"}}
    status = judged(world, searched(world, rules, stddev=0.3))
    assert (status["state"], status["reason"]["code"]) == ("completed", "futile")


@pytest.mark.parametrize(("chosen", "state"), [(2, "completed"), (9, "running")])
def test_patience_counts_from_the_trial_that_is_expected_to_be_the_best(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, chosen: int, state: str
) -> None:
    Expecting(monkeypatch, chosen, 0.92)
    assert judged(world, searched(world, {"patience": 10}, stddev=0.3))["state"] == state


def test_what_was_decided_stands_whoever_looks_at_the_rules_again(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    Expecting(monkeypatch, 3, 0.45)
    experiment = searched(world, {"target": 0.5}, stddev=0.3)
    judged(world, experiment)
    world.close()
    world.open()
    change_experiment.change_experiment(world.core, experiment, Changes(budget=80), "ada")
    world.tick(3)
    assert world.status(experiment)["reason"]["code"] == "target"


def test_without_noise_no_model_is_asked(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    experiment = searched(world, {"target": 0.5}, stddev=None, values=[1.0, 0.1])
    assert world.status(experiment)["reason"]["code"] == "target"
    judged(world, experiment)
    assert model.asked == []


def test_few_noisy_values_end_nothing(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    status = judged(world, searched(world, {"target": 0.5, "patience": 3}, stddev=0.3, values=[1.0, 0.1, *[1.0] * 7]))
    assert status["state"] == "running" and model.asked == []


def test_where_no_model_can_be_made_the_best_value_decides(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_engine_error(*_: object) -> None:
        raise EngineLost("it is gone")

    monkeypatch.setattr(analyses, "best_estimate", raise_engine_error)
    status = judged(world, searched(world, {"target": 0.5}, stddev=0.3, values=VALUES))
    assert status["reason"]["code"] == "target"


BOTH: dict[str, float | None] = {"loss": 0.3, "size": 0.3}


def fronted(monkeypatch: pytest.MonkeyPatch, front: list[int] | None) -> None:
    monkeypatch.setattr(analyses, "expected_front", lambda space, metrics, history: front)


def test_a_lucky_value_of_the_first_of_two_metrics_does_not_reach_the_target(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    fronted(monkeypatch, [1, 3])
    experiment = searched_for_two(world, {"target": 0.5}, BOTH)
    assert world.status(experiment)["state"] == "running"
    status = judged(world, experiment)
    assert status["state"] == "running" and model.asked == [len(VALUES)]
    assert [(each["trial"], each["expected"]) for each in status["best"]] == [(1, None), (3, None)]


def test_what_is_expected_of_the_first_of_two_metrics_reaches_it(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    Expecting(monkeypatch, 3, 0.45)
    fronted(monkeypatch, [1, 3])
    status = judged(world, searched_for_two(world, {"target": 0.5}, BOTH))
    assert status["reason"]["message"] == "loss reached 0.45, the target was 0.5"


def test_few_noisy_values_of_two_metrics_end_nothing(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    experiment = searched_for_two(world, {"target": 0.5, "patience": 3}, BOTH, [1.0, 0.1, *[1.0] * 7])
    status = judged(world, experiment)
    assert status["state"] == "running" and model.asked == []


def test_an_exact_first_metric_reaches_the_target_however_noisy_the_second_is(world: CoreWorld) -> None:
    experiment = searched_for_two(world, {"target": 0.5}, {"loss": None, "size": 0.3}, VALUES[:11])
    assert world.status(experiment)["reason"]["code"] == "target"


@pytest.mark.parametrize(("last", "state"), [(2, "completed"), (9, "running")])
def test_patience_counts_from_the_last_trial_that_came_onto_the_expected_front(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, last: int, state: str
) -> None:
    Expecting(monkeypatch, 1, 0.92)
    fronted(monkeypatch, [1, last])
    experiment = searched_for_two(world, {"patience": 10}, {"loss": None, "size": 0.3})
    assert judged(world, experiment)["state"] == state


def test_a_limit_of_the_second_metric_holds_where_the_first_one_is_looked_at(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric_lists: list[list[Metric]] = []

    def estimate(space: object, metrics: list[Metric], history: object) -> tuple[int, float, float]:
        metric_lists.append(metrics)
        return 3, 0.92, 0.1

    monkeypatch.setattr(analyses, "best_estimate", estimate)
    fronted(monkeypatch, [3])
    size, loss = Metric("size", "minimize", limit=Limit(100.0, False)), Metric("loss", "minimize")
    metrics = [metric.to_json() for metric in (loss, size, Metric("accuracy", "maximize"))]
    world.create(budget=60, parallelism=1, stop={"target": 0.5}, metrics=metrics)
    for number, value in enumerate(VALUES):
        worker, lease = world.lease()[0]
        points = [[0, name, value + number, None, 0.3] for name in ("loss", "size", "accuracy")]
        worker.call(finished=[worker.finish(lease, points=points)])
    NoisyStopping(world.core).tick()
    assert metric_lists == [[loss, replace(size, optimized=False)]]


def test_a_model_is_asked_once_for_each_new_result(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Expecting(monkeypatch, 3, 0.92)
    searched(world, {"target": 0.5}, stddev=0.3)
    judging = NoisyStopping(world.core)
    for _ in range(3):
        judging.tick()
    assert model.asked == [len(VALUES)]
