"""Importance and findings; `explain` agrees with `best`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process import analyses
from orchestune.services.queries import read_experiments, read_findings
from tests.contract.world import CoreWorld


@pytest.fixture
def world(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> CoreWorld:
    monkeypatch.setattr(analyses, "importance", lambda space, metric, history: {})
    return world


def test_the_best_trial_is_the_one_that_keeps_the_limits(world: CoreWorld) -> None:
    metrics = [
        {"name": "loss", "goal": "minimize"},
        {"name": "size", "goal": "minimize", "constraint": "<= 10", "optimized": False},
    ]
    experiment = world.create(budget=3, parallelism=1, metrics=metrics)
    for loss, size in ((0.5, 5.0), (0.1, 99.0), (0.4, 10.0)):
        worker, lease = world.lease()[0]
        worker.call(
            finished=[worker.finish(lease, points=[[0, "loss", loss, None, None], [1, "size", size, None, None]])]
        )
    assert [entry["trial"] for entry in read_experiments.best(world.core, experiment)] == [3]
    message = read_findings.explain(world.core, experiment, None)["findings"][0]["message"]
    assert message == "the best loss, 0.4, came from trial 3, the 3rd of 3 to finish"


def test_a_rule_of_early_stopping_that_can_end_nothing_is_told(world: CoreWorld) -> None:
    experiment = world.create(budget=9, parallelism=1, early_stopping={"type": "median"})
    for _ in range(5):
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease)])
    finding = read_findings.explain(world.core, experiment, None)["findings"][-1]
    assert finding["code"] == "nothing_pruned"
    assert "each reports loss only once" in finding["message"]


@pytest.mark.parametrize("weights", [{}, {"x": 1.0}])
def test_a_wider_range_is_advised_only_where_a_parameter_is_known_to_matter(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, weights: dict[str, float]
) -> None:
    monkeypatch.setattr(analyses, "importance", lambda space, metric, history: weights)
    experiment = world.create(budget=12, parallelism=1, try_first=[{"x": 0.001 * place} for place in range(12)])
    for _ in range(12):
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease)])
    explanation = read_findings.explain(world.core, experiment, None)
    assert ("at_bound" in {finding["code"] for finding in explanation["findings"]}) is bool(weights)


def test_the_noise_of_trials_with_folds_is_that_of_their_mean(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1, folds={"count": 2})
    for loss in (0.4, 0.6, 0.45, 0.65):
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, loss)])
    messages = [finding["message"] for finding in read_findings.explain(world.core, experiment, None)["findings"]]
    assert any(
        "1 other trial is within one standard error of 2 folds (0.1) of the best" in message for message in messages
    )


@pytest.mark.parametrize("several", [False, True])
def test_of_many_trials_an_even_selection_is_looked_at_and_the_best_is_that_of_all(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    weighed = list[int]()

    def weigh(space: Space, metric: Metric, history: Sequence[Observation]) -> dict[str, float]:
        weighed.append(len(history))
        return {}

    monkeypatch.setattr(analyses, "importance", weigh)
    metrics = [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "minimize", "optimized": several}]
    twice = [{"x": 0.5}, {"x": 0.5}, {"x": 0.25}]
    experiment = world.create(budget=12, parallelism=1, metrics=metrics[: 1 + several], try_first=twice)
    for number in range(1, 13):
        [(worker, lease)] = world.lease()
        loss = -5.0 if number == 5 else float(number)
        worker.call(
            finished=[worker.finish(lease, points=[[0, "loss", loss, None, None], [1, "size", loss, None, None]])]
        )

    def finding_messages() -> dict[str, str]:
        all_findings = read_findings.explain(world.core, experiment, None)["findings"]
        return {
            item["code"]: item["message"]
            for item in all_findings
            if item["code"] in ("converged", "duplicates", "selection")
        }

    whole = finding_messages()
    assert "trial 5, and none of the 7 trials that finished after it" in whole["converged"]
    assert whole["duplicates"].startswith("1 trial ")
    monkeypatch.setattr(read_findings, "_MAX_TRIALS", 4)
    assert finding_messages() == whole | {
        "selection": "findings about ties and parameters are based on an even sample of 4 of the 12 trials"
    }
    assert weighed == [12, 4]
