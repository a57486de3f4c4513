"""A trial in Python says of its folds what a person wants to know."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.specification.metrics import Metric
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.parameters import Params
from orchestune.sdk.search_request import read_warm_start
from orchestune.sdk.trial import Trial, frame, trial_of
from tests.contract.world import CoreWorld
from tests.unit.client.fake_server import attempt
from tests.unit.client.fake_server import trial as trial_document
from tests.unit.server.harness import live

SPACE = Space.of((Parameter("x", "float", 0.0, 1.0),))
COLUMNS = ["state", "source", "params.x", "metrics.loss", "seconds", "error"]


def test_the_error_of_a_trial_with_folds_is_that_of_the_fold_that_failed(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parallelism=3, folds={"count": 3})
    (worker, first), *others = world.lease(3)
    for other, lease in [(worker, first), *others]:
        other.call(beats=[other.started(lease) | {"age": 0.0}])
    reason = {"code": "exit_code", "message": "exited with code 1"}
    ended = worker.finish(first, state="failed", exit_code=1, points=[], reason=reason, tail="RuntimeError: broken")
    world.clock.pass_time(2.0)
    worker.call(finished=[ended])
    with live(world.core) as server:
        client = Client.connect(lambda: ServerAccess(f"http://127.0.0.1:{server.port}", "secret-token"))
        try:
            trial = trial_of(client.trial(experiment, 1))
        finally:
            client.close()
    assert (trial.state, trial.error) == ("failed", "exited with code 1\nRuntimeError: broken")
    assert trial.seconds == pytest.approx(2.0, abs=0.1)


def test_the_time_of_a_trial_that_was_tried_again_is_that_of_all_its_tries() -> None:
    tries = [attempt(started_at="2026-01-31T12:00:00.000Z", wall_seconds=5.0, state="failed"),
             attempt(started_at="2026-01-31T12:01:00.000Z", wall_seconds=2.0)]  # fmt: skip
    document: Any = trial_document(1, attempts=tries)
    assert trial_of(document).seconds == 7.0


def test_the_table_of_trials_tells_a_warm_start_how_noisy_they_are(world: CoreWorld) -> None:
    identity = world.create(budget=1, parallelism=4, folds={"count": 4}, parameters=[SPACE.to_json()[0]])
    for value, (worker, lease) in enumerate(world.lease(4)):
        worker.call(finished=[worker.finish(lease, points=[[0, "loss", float(value), None, None]])])
    with live(world.core) as server:
        client = Client.connect(lambda: ServerAccess(f"http://127.0.0.1:{server.port}", "secret-token"))
        table = Experiment(client, client.experiment(identity)).trials()
        client.close()
    assert [*table.columns][2:] == ["params.x", "metrics.loss", "metrics.loss.stddev", "seconds", "error", "folds"]
    (observation,) = read_warm_start(table, SPACE, [Metric("loss", "minimize")]).observations
    assert observation.metrics == {"loss": 1.5}
    assert observation.stddev["loss"] == pytest.approx(math.sqrt(5 / 3) / 2), "of the mean of four"


def test_the_table_of_exact_trials_has_no_column_of_noise() -> None:
    assert [*frame([Trial(1, "completed", Params(x=0.5), {"loss": 1.0})])] == COLUMNS
    noisy = Trial(1, "completed", Params(x=0.5), {"loss": 1.0}, {"loss": 0.2})
    assert [*frame([noisy, replace(noisy, number=2, stddev={})])] == [*COLUMNS[:4], "metrics.loss.stddev", *COLUMNS[4:]]
