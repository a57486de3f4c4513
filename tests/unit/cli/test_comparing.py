"""Experiments side by side: after equally many trials, and what differs between their best."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer, attempt, status, trial

Cli = Callable[..., Result]


def finished(number: int, accuracy: float, **parameters: Any) -> dict[str, Any]:
    return trial(
        number,
        state="completed",
        metrics={"accuracy": {"value": accuracy, "stddev": None}},
        parameters=parameters,
        attempts=[attempt(wall_seconds=2.0)],
        finished_at=f"2026-01-01T00:00:{number:02}Z",
    )


@pytest.fixture
def two(server: FakeServer) -> FakeServer:
    server.world.experiments.clear()
    for handle, values in (("sgd-7f3a", [0.5, 0.7, 0.6, 0.9]), ("net-1a2b", [0.8, 0.6])):
        counts = {"queued": 0, "running": 0, "completed": len(values), "failed": 0, "pruned": 0, "cancelled": 0}
        server.put(status(handle, state="completed", counts=counts))
        server.world.trials[handle] = [
            finished(number, value, alpha=number / 10, layers=2) for number, value in enumerate(values, start=1)
        ]
    return server


def test_they_are_compared_after_as_many_trials_as_both_have(two: FakeServer, cli: Cli) -> None:
    lines = cli("compare", "sgd", "net").out.splitlines()
    header = ["EXPERIMENT", "STATE", "TRIALS", "ACCURACY", "AFTER", "2", "TIME", "COMPUTE", "BEST", "SO", "FAR"]
    assert lines[0].split() == header
    assert lines[1].split()[:5] == ["sgd-7f3a", "completed", "4", "0.9", "0.7"]
    assert lines[2].split()[:5] == ["net-1a2b", "completed", "2", "0.8", "0.8"]
    assert (lines[1].split()[-2:], lines[2].split()[-2:]) == (["8.0s", "▁▁▁█"], ["4.0s", "▅▅"])


def test_the_time_counts_no_seconds_for_which_an_experiment_was_finished(two: FakeServer, cli: Cli) -> None:
    times = {"started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T02:00:00Z", "idle_seconds": 6600.0}
    two.world.experiments["sgd-7f3a"].update(times)
    assert cli("compare", "sgd", "net").out.splitlines()[1].split()[5:7] == ["10m", "00s"]
    assert "completed, 10m 00s" in cli("status", "sgd-7f3a").out
    assert "completed: 4 of 4 trials in 10m 00s" in cli("wait", "sgd-7f3a").out


def test_parameters_in_which_the_best_differ_come_first(two: FakeServer, cli: Cli) -> None:
    assert [line.split() for line in cli("compare", "sgd", "net").out.splitlines()[4:]] == [
        ["BEST", "HAS", "sgd-7f3a", "net-1a2b"],
        ["alpha", "0.4", "0.1"],
        ["layers", "2", "2"],
    ]
    document = json.loads(cli("compare", "sgd", "net", "--json").out)
    assert document["metric"] == "accuracy"
    assert [side["best_after"] for side in document["experiments"]] == [
        {"trials": 2, "value": 0.7},
        {"trials": 2, "value": 0.8},
    ]


def test_a_trial_beyond_a_limit_is_not_the_best_of_its_experiment(two: FakeServer, cli: Cli) -> None:
    limited = {"name": "accuracy", "goal": "maximize", "take": "last", "threshold": None, "constraint": "<= 0.65"}
    two.update("sgd-7f3a", metrics=[limited])
    two.update("net-1a2b", metrics=[limited])
    lines = cli("compare", "sgd", "net").out.splitlines()
    assert lines[1].split()[:5] == ["sgd-7f3a", "completed", "4", "0.6", "0.5"]
    assert lines[2].split()[:5] == ["net-1a2b", "completed", "2", "0.6", "0.6"]
    assert ["alpha", "0.3", "0.2"] in [line.split() for line in lines]
    two.update("net-1a2b", metrics=[limited | {"constraint": "<= 0.1"}])
    assert cli("compare", "sgd", "net").out.splitlines()[2].split()[:5] == ["net-1a2b", "completed", "2", "-", "-"]


def test_an_experiment_without_a_result_has_a_line_too(two: FakeServer, cli: Cli) -> None:
    two.world.trials["net-1a2b"] = []
    lines = cli("compare", "sgd", "net").out.splitlines()
    assert lines[2].split()[3:5] == ["-", "-"]


def server_metrics(server: FakeServer, ref: str) -> list[Any]:
    return list(server.world.experiments[ref]["metrics"])


def test_what_cannot_be_compared_is_refused_with_the_reason(two: FakeServer, cli: Cli) -> None:
    assert "at least two experiments" in cli("compare", "sgd").err
    assert "metric 'loss' is not declared by all of them" in cli("compare", "sgd", "net", "--metric", "loss").err
    two.update("net-1a2b", metrics=[{"name": "accuracy", "goal": "minimize", "take": "last", "threshold": None}])
    assert "minimized by some of them and maximized by others" in cli("compare", "sgd", "net").err
    other = {"name": "size", "goal": "minimize", "take": "last", "threshold": None}
    metrics_before = {ref: server_metrics(two, ref) for ref in ("sgd-7f3a", "net-1a2b")}
    for ref, metrics in metrics_before.items():
        two.update(ref, metrics=[*metrics, other])
    assert "--metric with one of size" in cli("compare", "sgd", "net").err
    bounded = other | {"goal": "maximize", "constraint": ">= 3", "optimized": False}
    two.update("net-1a2b", metrics=[*metrics_before["net-1a2b"], bounded])
    assert cli("compare", "sgd", "net", "--metric", "size").code == 0
    two.update("net-1a2b", metrics=[{"name": "loss", "goal": "minimize", "take": "last", "threshold": None}])
    result = cli("compare", "sgd", "net")
    assert result.code == 2
    assert "no metric in common" in result.err
