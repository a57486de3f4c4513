from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestune.controllers.worker_scaling import spread, workers_for
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.errors import UsageError
from orchestune.ports.backend import WorkerOrder
from orchestune.services.commands import change_experiment, create_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.store.tables import workers
from tests.contract.world import CoreWorld, FakeBackend


@pytest.mark.parametrize(
    ("cores", "slots", "each"),
    [(2, 1, [1]), (2, 2, [1, 1]), (2, 8, [4, 4]), (2, 9, [9]), (16, 3, [1, 1, 1]), (16, 65, [17, 16, 16, 16])],
)
def test_each_core_has_its_worker_unless_there_are_many_slots_for_each(cores: int, slots: int, each: list[int]) -> None:
    assert spread(slots, workers_for(cores, slots)) == each


def test_an_experiment_that_grows_keeps_its_workers_and_gives_them_more_slots(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path, None, Capacity((Machine(2, 2**34),)))
    try:
        experiment = world.create(budget=100, parallelism=2)
        world.tick(2)
        first = {worker["name"] for worker in world.status(experiment)["workers"]}
        change_experiment.change_experiment(world.core, experiment, Changes(parallelism=20), "ada")
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
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    core_world = CoreWorld(tmp_path, backend=Faulty(Capacity((Machine(4, 2**34),))))
    yield core_world
    core_world.close()


def test_trouble_with_one_experiment_keeps_no_other_from_its_workers(world: CoreWorld) -> None:
    first = world.create(owner="eve")
    other = world.create()
    create_experiment.create_experiment(world.core, replace(world.request(), cluster="empty"), "ada")
    launching = world.controllers[2]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            launching.tick()
    assert set(world.backend.orders) == {worker["id"] for worker in world.status(other)["workers"]} != set()
    assert world.empty.orders
    assert world.status(first)["workers"]


def test_workers_whose_end_nobody_noted_hold_up_nothing(world: CoreWorld) -> None:
    experiment = world.create(budget=3)
    world.run(experiment)
    with world.core.store.transaction() as session:
        session.change(update(workers).values(state="ended", ended_at=None))
    change_experiment.change_experiment(world.core, experiment, Changes(budget=6), "ada")
    world.backend.orders.clear()
    world.workers.clear()
    assert world.run(experiment)["counts"]["completed"] == 6


class Accompanied(FakeBackend):
    """Something comes with each trial, as the containers of a `pod:` do."""

    slots_per_worker = 1
    assigns_gpus = False
    limits_memory = True

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        return Resources((each.cpu or 0) + 1, (each.memory or 0) + 2**29, each.gpu)


def test_what_comes_with_each_trial_has_its_place_too_and_is_not_the_trials(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path, backend=Accompanied(Capacity((Machine(5, 2**34),))))
    try:
        resources = {"cpu": 1, "memory": 2**30}
        experiment = world.create(parallelism=10, resources=resources)
        world.tick(3)
        assert len(world.status(experiment)["workers"]) == 2
        assert {order.each for order in world.backend.orders.values()} == {Resources(1, 2**30)}
        with pytest.raises(UsageError, match="a trial needs 6 cpu, this machine has 5") as caught:
            world.create(resources={"cpu": 5})
        assert "other containers in `pod:`" in caught.value.hint
    finally:
        world.close()


def test_more_memory_leaves_room_for_what_comes_with_each_trial(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path, backend=Accompanied(Capacity((Machine(8, 3 * 2**30),))))
    try:
        world.create(parallelism=1, resources={"memory": 2**30}, oom_retries=2, memory_factor=4)
        world.tick(2)
        with world.core.store.reading() as session:
            assert session.select(select(workers.c.memory_next), int) == [3 * 2**30 - 2**29]
    finally:
        world.close()


def test_a_claimed_name_uses_up_no_share_of_its_authenticated_owner(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path, None, Capacity((Machine(4, 2**34),)))
    try:
        for _ in range(3):
            world.create(budget=100, parallelism=4, principal=None, resources={"cpu": 1})
        proved = world.create(budget=100, parallelism=4, resources={"cpu": 1})
        world.tick(3)
        assert sum(worker["slots"] for worker in world.status(proved)["workers"]) == 2
    finally:
        world.close()


@pytest.fixture
def full_machine(tmp_path: Path) -> Iterator[CoreWorld]:
    """A user's own machine with two cores and two GPUs, all of them in use."""
    world = CoreWorld(tmp_path, None, Capacity((Machine(2, 2**34, (Gpu("0", "T4"), Gpu("1", "A100"))),)))
    object.__setattr__(world.core, "single_user", True)
    world.create(parallelism=2, resources={"cpu": 1, "gpu": 1})
    world.tick(2)
    assert len(world.backend.orders) == 2
    yield world
    world.close()


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"cpu": 2, "memory": 2**33}, ()),
        ({"cpu": 1, "gpu": 1}, ("0",)),
        ({"gpu": 1, "gpu_type": "a100"}, ("1",)),
        ({"cpu": 4000, "gpu": 3}, ()),
    ],
)
def test_an_ephemeral_run_starts_at_once_beside_what_fills_the_machine(
    full_machine: CoreWorld, resources: dict[str, Any], gpus: tuple[str, ...]
) -> None:
    world, workers_before = full_machine, set(full_machine.backend.orders)
    test = world.create(budget=1, parallelism=1, labels={TEST_LABEL: "0"}, resources=resources)
    world.tick(2)
    assert world.status(test)["reason"] is None
    [order] = [order for worker, order in world.backend.orders.items() if worker not in workers_before]
    assert (order.experiment, order.gpus) == (test, gpus)
    world.tick(2)
    assert not world.backend.ended, "the other workers keep their resources"


def test_an_ephemeral_run_takes_a_free_gpu_first(tmp_path: Path) -> None:
    world = CoreWorld(tmp_path, None, Capacity((Machine(2, 2**34, (Gpu("0"), Gpu("1"))),)))
    object.__setattr__(world.core, "single_user", True)
    try:
        world.create(parallelism=1, resources={"gpu": 1})
        world.tick(2)
        world.create(budget=1, parallelism=1, labels={TEST_LABEL: "0"}, resources={"gpu": 1})
        world.tick(2)
        assert [order.gpus for order in world.backend.orders.values()] == [("0",), ("1",)]
    finally:
        world.close()


def test_an_ephemeral_run_waits_on_a_server_of_several_users(full_machine: CoreWorld) -> None:
    world = full_machine
    object.__setattr__(world.core, "single_user", False)
    test = world.create(budget=1, parallelism=1, labels={TEST_LABEL: "0"}, resources={"cpu": 1})
    with pytest.raises(UsageError, match="a trial needs 4000 cpu"):
        world.create(labels={TEST_LABEL: "0"}, resources={"cpu": 4000})
    world.tick(2)
    assert world.status(test)["reason"]["code"] == "waiting_for_resources"
