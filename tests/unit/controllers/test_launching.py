from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestune.controllers.launching import spread, workers_for
from orchestune.domain.resources import Capacity, Machine
from orchestune.ports.backend import WorkerOrder
from orchestune.services import change_experiment, create_experiment
from orchestune.store.tables import workers
from orchestune.testing.world import FakeBackend, World


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


class Faulty(FakeBackend):
    """Cannot cope with one owner's workers."""

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        if order.owner == "eve":
            raise ZeroDivisionError("a mistake of ours")
        return super().start(order)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, backend=Faulty(Capacity((Machine(4, 2**34),))))
    yield made
    made.close()


def test_trouble_with_one_experiment_keeps_no_other_from_its_workers(world: World) -> None:
    first = world.create(owner="eve")
    other = world.create()
    create_experiment.create_experiment(world.core, world.request() | {"cluster": "empty"}, "ada")
    launching = world.controllers[2]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            launching.tick()
    assert set(world.backend.orders) == {worker["id"] for worker in world.status(other)["workers"]} != set()
    assert world.empty.orders
    assert world.status(first)["workers"]


def test_workers_whose_end_nobody_noted_hold_up_nothing(world: World) -> None:
    experiment = world.create(budget=3)
    world.run(experiment)
    with world.core.store.transaction() as session:
        session.change(update(workers).values(state="ended", ended_at=None))
    change_experiment.change_experiment(world.core, experiment, {"budget": 6}, "ada")
    world.backend.orders.clear()
    world.workers.clear()
    assert world.run(experiment)["counts"]["completed"] == 6
