"""`keep_best`: whose files stay."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestune.controllers.garbage_collection import WHILE_NOISY, GarbageCollection
from orchestune.engines.process import analyses
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.execution import uploads
from orchestune.services.queries import read_experiments, read_trials
from orchestune.store.database import Store
from orchestune.store.experiments import ExperimentRow
from tests.contract.world import CoreWorld

MODEL = b"weights"
DIGEST = hashlib.sha256(MODEL).hexdigest()


def searched(
    world: CoreWorld, measured: Sequence[Mapping[str, float]], count: int, stddev: float | None = None, **changes: Any
) -> str:
    """An experiment that keeps the files of so many best trials, with these results."""
    changes = {"budget": len(measured)} | changes
    experiment = world.create(parallelism=1, keep={"patterns": ["model"], "best": count}, **changes)
    for values in measured:
        finish(world, values, stddev)
    world.tick()
    return experiment


def finish(world: CoreWorld, values: Mapping[str, float], stddev: float | None = None) -> None:
    """The next trial ends with a result and hands in its file."""
    worker, lease = world.lease()[0]
    uploads.append(world.core, worker.id, DIGEST, 0, MODEL)
    points = [[place, name, value, None, stddev] for place, (name, value) in enumerate(values.items())]
    worker.call(finished=[worker.finish(lease, points=points)])
    credentials = {"attempt": lease["attempt"], "token": lease["token"]}
    files = [{"path": "model", "digest": DIGEST, "size": len(MODEL)}]
    worker.keep_artifacts(credentials | {"files": files})


def retained(world: CoreWorld, experiment: str) -> list[int]:
    """The trials that have files after what is not the best has gone."""
    GarbageCollection(world.core).retain_artifacts()
    return with_files(world, experiment)


def with_files(world: CoreWorld, experiment: str) -> list[int]:
    """The trials that have files."""
    numbers = [trial["number"] for trial in world.trials(experiment)]
    return [number for number in numbers if read_trials.artifacts(world.core, experiment, number)]


def shown_trials(world: CoreWorld, experiment: str) -> list[int]:
    """The trials that `best` names."""
    return [entry["trial"] for entry in read_experiments.best(world.core, experiment)]


def test_trials_that_keep_the_limits_come_before_better_ones_that_do_not(world: CoreWorld) -> None:
    metrics = [
        {"name": "loss", "goal": "minimize"},
        {"name": "size", "goal": "minimize", "constraint": "<= 10", "optimized": False},
    ]
    sizes = [(0.1, 99), (0.5, 5), (0.2, 50), (0.4, 10), (0.9, 1)]
    results = [{"loss": loss, "size": float(size)} for loss, size in sizes]
    one = searched(world, results, 1, metrics=metrics)
    assert retained(world, one) == shown_trials(world, one) == [4]
    assert retained(world, searched(world, results, 2, metrics=metrics)) == [2, 4]
    assert retained(world, searched(world, results, 4, metrics=metrics)) == [1, 2, 4, 5], "then the best of the others"


def test_the_whole_front_of_several_metrics_stays(world: CoreWorld) -> None:
    metrics = [{"name": "loss", "goal": "minimize"}, {"name": "accuracy", "goal": "maximize"}]
    results = [{"loss": loss, "accuracy": accuracy} for loss, accuracy in ((1, 9), (2, 9.5), (3, 1), (4, 9.9))]
    experiment = searched(world, results, 1, metrics=metrics)
    assert retained(world, experiment) == shown_trials(world, experiment) == [1, 2, 4]


def test_of_a_noisy_search_the_best_by_expectation_stays(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyses, "best_estimate", lambda space, metrics, history: (7, 0.6, 0.1))
    results = [{"loss": value / 10} for value in range(11, -1, -1)]
    experiment = searched(world, results, 1, stddev=0.3)
    assert retained(world, experiment) == shown_trials(world, experiment) == [7]


def test_nothing_is_dropped_of_a_noisy_search_that_might_become_its_best(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyses, "best_estimate", lambda space, metrics, history: (2, 0.6, 0.1))
    results = [{"loss": value / 10} for value in range(WHILE_NOISY + 5)]
    results.reverse()
    experiment = searched(world, results, 1, stddev=0.3, budget=100)
    assert retained(world, experiment) == [2, *range(7, WHILE_NOISY + 6)]


def test_a_search_that_did_not_change_is_looked_at_once(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = searched(world, [{"loss": 0.2}, {"loss": 0.3}], 1)
    collection = GarbageCollection(world.core)
    collection.retain_artifacts()
    assert with_files(world, experiment) == [1]
    with monkeypatch.context() as patch:
        patch.setattr(world.core.store, "transaction", None)
        collection.retain_artifacts()
    change_experiment.change_experiment(world.core, experiment, Changes(budget=3), "ada")
    finish(world, {"loss": 0.1})
    collection.retain_artifacts()
    assert with_files(world, experiment) == [3]


def test_a_search_whose_best_is_still_to_be_estimated_is_looked_at_again(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = searched(world, [{"loss": 0.2}, {"loss": 0.3}], 1)
    collection, looked = GarbageCollection(world.core), list[str]()
    refresh = world.core.estimates.refresh

    def look(store: Store, row: ExperimentRow) -> None:
        looked.append(row.id)
        refresh(store, row)

    monkeypatch.setattr(world.core.estimates, "refresh", look)
    monkeypatch.setattr(world.core.estimates, "is_current", lambda row: len(looked) > 1)
    for _ in range(3):
        collection.retain_artifacts()
    assert looked == [experiment, experiment]
