"""A new engine, as after a restart of the server, is told a long history of large configurations by pages."""

from __future__ import annotations

import pytest

from orchestune.controllers.suggesting import Suggesting
from orchestune.engines.constraints.deduplication import DistinctEngine
from orchestune.services import read_history
from orchestune.services.commands import change_experiment
from orchestune.store import experiments
from tests.contract.world import CoreWorld


def test_a_new_engine_is_told_the_history_by_pages_of_few_bytes(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = world.create(budget=25, parallelism=1, engine="random", run="true {args}")
    assert world.run(experiment)["counts"]["completed"] == 25
    change_experiment.change_experiment(world.core, experiment, change_experiment.Changes(budget=30), "ada")
    sizes: list[int] = []
    monkeypatch.setattr(DistinctEngine, "tell", lambda _, observations: sizes.append(len(observations)))
    with world.core.store.reading() as session:
        row = experiments.get(session, experiment)
    monkeypatch.setattr(read_history, "_PAGE_BYTES", 10 * row.specification.space.configuration_bytes)
    controller = Suggesting(world.core, lambda row: world._engine(row))
    controller.tick()
    controller.close()
    assert sizes == [0, 10, 10, 5], "the warm start is empty"
