"""An experiment with very many open folds is stopped by few statements, and no user queues them without bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestune.errors import Conflict
from orchestune.services.commands import change_experiment, stop_trial
from orchestune.services.commands.queue_trial import queue_trial
from orchestune.services.execution import prefetch
from orchestune.store.session import Session
from tests.contract.world import CoreWorld


def test_a_stop_takes_no_statement_for_each_fold(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each took 40 µs under the store's lock: 214,000 folds, queued within seconds, blocked all writers for 7 s."""
    experiment = world.create(budget=40, parallelism=40, engine="random", folds={"count": 50, "prune_after": None})
    world.tick(5)
    [(worker, lease)] = world.lease()[:1]
    statements = list[str]()
    run = Session.run

    def noting(session: Session, statement: str, parameters: Mapping[str, Any]) -> int:
        statements.append(statement)
        return run(session, statement, parameters)

    monkeypatch.setattr(Session, "run", noting)
    change_experiment.stop(world.core, experiment, "ada")
    assert len(statements) < 20
    assert {trial["state"] for trial in world.trials(experiment)} == {"cancelled"}
    [order] = [order for order in worker.call()["orders"] if order["attempt"] == lease["attempt"]]
    assert (order["state"], order["reason"]["message"]) == ("cancelled", "stopped by ada")
    change_experiment.resume(world.core, experiment, "ada")
    assert world.run(experiment)["counts"]["completed"] == 40, "the counters are right"


def test_one_trial_is_cancelled_with_its_folds_alone(world: CoreWorld) -> None:
    experiment = world.create(budget=4, parallelism=4, engine="random", folds={"count": 3, "prune_after": None})
    world.tick(3)
    stop_trial.stop_trial(world.core, experiment, 2, "ada")
    states = {trial["number"]: trial["state"] for trial in world.trials(experiment)}
    assert states[2] == "cancelled" and "cancelled" not in {states[number] for number in (1, 3, 4)}
    assert {fold["state"] for fold in world.trial(experiment, 2)["folds"]} == {"cancelled"}
    assert world.run(experiment)["counts"]["completed"] == 4


def test_configurations_of_users_wait_in_a_bounded_number(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand of them with a thousand folds each are ten million rows."""
    monkeypatch.setattr(prefetch, "MAX_QUEUED_FOLDS", 30)
    first = [{"x": number / 100} for number in range(20)]
    folds = {"count": 10, "prune_after": None}
    experiment = world.create(budget=20, parallelism=1, try_first=first, folds=folds)
    monkeypatch.setattr("orchestune.controllers.suggesting._MAX_TASKS", 10)
    world.tick(10)
    assert len(world.trials(experiment)) == 3
    with pytest.raises(Conflict, match="30 folds of trials that wait"):
        queue_trial(world.core, experiment, {"x": 0.5}, "ada")
    assert world.run(experiment)["counts"]["completed"] == 20
    parameters = [trial["parameters"] for trial in world.trials(experiment)]
    assert parameters == first
