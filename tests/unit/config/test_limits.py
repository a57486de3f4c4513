from __future__ import annotations

import pytest

from orchestune.config.experiment_file import parse
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Limit, Metric, feasible, pareto_front
from orchestune.errors import BadInput


def read(metrics: str) -> Specification:
    text = f"run: train {{args}}\nparameters: {{lr: 1e-5..0.1 log}}\nbudget: 10\nmetrics: {metrics}\n"
    return parse(text, "experiment.yml").specification


def refused(metrics: str) -> str:
    with pytest.raises(BadInput) as caught:
        read(metrics)
    return caught.value.message


def test_a_metric_with_a_constraint_alone_is_not_optimized_and_stands_last() -> None:
    specification = read(
        "{latency: {constraint: '<= 20'}, accuracy: maximize, size: {goal: minimize, constraint: '>=-1e3'}}"
    )
    assert specification.metrics == (
        Metric("accuracy", "maximize"),
        Metric("size", "minimize", limit=Limit(-1000.0, True)),
        Metric("latency", "minimize", limit=Limit(20.0, False), optimized=False),
    )
    assert Specification.from_json(specification.to_json()) == specification


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("{a: {take: best}}", "experiment.yml:4:14: metrics.a.goal: is missing (expected maximize or minimize)"),
        ("{a: {constraint: 20}}", "metrics.a.constraint: found 20, expected <= or >= and a number, such as '<= 20'"),
        ("{a: {constraint: '< x'}}", "metrics.a.constraint: found '< x', expected <= or >= and a number"),
        (
            "{a: {constraint: '<= 1e400'}}",
            "metrics.a.constraint: not a finite number (write a condition such as <= 20)",
        ),
        (
            "{a: {constraint: '<= 3'}}",
            "metrics: no metric has a goal (set `maximize` or `minimize` for at least one of them",
        ),
        (
            "{a: maximize, b: maximize, c: minimize, d: minimize, e: minimize}",
            "5 metrics have a goal (maximum 4)",
        ),
    ],
)
def test_mistakes_are_told(metrics: str, message: str) -> None:
    assert message in refused(metrics)


def test_the_front_is_of_trials_that_keep_the_limits() -> None:
    metrics = read("{loss: minimize, latency: {constraint: '<= 20'}, gain: {constraint: '>= 1'}}").metrics
    trials = [
        (1, {"loss": 0.1, "latency": 21.0, "gain": 2.0}),
        (2, {"loss": 0.3, "latency": 20.0, "gain": 1.0}),
        (3, {"loss": 0.2, "latency": 1.0, "gain": 0.5}),
        (4, {"loss": 0.2, "gain": 3.0}),
    ]
    assert pareto_front(metrics, trials) == [2]
    assert [feasible(metrics, values) for _, values in trials] == [False, True, False, False]


@pytest.mark.parametrize("text", ["<= 1234567.5", ">= -0.1", "<= 20", "<= 1e-07", ">= 1e+300"])
def test_a_limit_is_stored_as_exactly_as_it_was_written(text: str) -> None:
    limit = Limit.parse(text)
    assert (str(limit), Limit.parse(str(limit))) == (text, limit)
