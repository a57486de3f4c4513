from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.controllers.launching import spread, workers_for
from orchestune.domain.resources import Capacity, Machine
from orchestune.services import change_experiment
from orchestune.testing.world import World


@pytest.mark.parametrize(
    ("cores", "slots", "each"),
    [(2, 1, [1]), (2, 2, [1, 1]), (2, 8, [4, 4]), (2, 9, [9]), (16, 3, [1, 1, 1]), (16, 65, [17, 16, 16, 16])],
)
def test_each_core_has_its_worker_unless_there_are_many_slots_for_each(cores: int, slots: int, each: list[int]) -> None:
    assert spread(slots, workers_for(cores, slots)) == each


def test_an_experiment_that_grows_keeps_its_workers_and_gives_them_more_slots(tmp_path: Path) -> None:
    world = World(tmp_path, None, Capacity((Machine(2, 2**34),)))
    try:
        experiment = world.create(budget=100, parallelism=2)
        world.tick(2)
        first = {worker["name"] for worker in world.status(experiment)["workers"]}
        change_experiment.change_experiment(world.core, experiment, {"parallelism": 20}, "ada")
        world.tick(2)
        assert len(first) == 2
        assert {worker["name"] for worker in world.status(experiment)["workers"]} == first
        assert sum(worker["slots"] for worker in world.status(experiment)["workers"]) == 20
    finally:
        world.close()
