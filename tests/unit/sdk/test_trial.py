"""A trial in Python says of its folds what a person wants to know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.client.address import Access
from orchestune.client.api import Client
from orchestune.sdk.trial import trial_of
from orchestune.testing.world import World
from tests.unit.server.harness import live


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_the_error_of_a_trial_with_folds_is_that_of_the_fold_that_failed(world: World) -> None:
    experiment = world.create(budget=1, parallelism=3, folds={"count": 3})
    (worker, first), *_ = world.lease(3)
    reason = {"code": "exit_code", "message": "exited with code 1"}
    ended = worker.finish(first, state="failed", exit_code=1, points=[], reason=reason, tail="RuntimeError: broken")
    world.clock.pass_time(2.0)
    worker.call(finished=[ended])
    with live(world.core) as server:
        client = Client.connect(lambda: Access(f"http://127.0.0.1:{server.port}", "secret-token"))
        try:
            trial = trial_of(client.trial(experiment, 1))
        finally:
            client.close()
    assert (trial.state, trial.error) == ("failed", "exited with code 1\nRuntimeError: broken")
    assert trial.seconds == pytest.approx(2.0, abs=0.1)
