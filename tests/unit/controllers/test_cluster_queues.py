"""Experiments whose workers are let in by a queue of the place, beside others that take what is free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestune.controllers.worker_scaling import MAX_PENDING_WORKERS
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.ports.backend import WorkerOrder
from tests.contract.world import CoreWorld, FakeBackend


class Queueing(FakeBackend):
    """Lets workers of experiments with a queue in only when the test says so; one slot for each worker."""

    slots_per_worker: int | None = 1
    assigns_gpus = False
    limits_memory = True
    queues = False

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        if order.placement.queue is not None and order.worker not in self.orders:
            self.queued.add(order.worker)
            self.pending[order.worker] = (
                f"waits in the queue {order.placement.queue}: insufficient unused quota for cpu"
            )
        return super().start(order)

    def let_in(self, count: int = 1) -> None:
        for worker in [*self.pending][:count]:
            del self.pending[worker]

    def of(self, experiment: str) -> list[str]:
        """The workers of an experiment that hold something."""
        workers = [order.worker for order in self.orders.values() if order.experiment == experiment]
        return [worker for worker in workers if worker not in self.pending and worker not in self.ended]


@pytest.fixture
def place() -> Queueing:
    return Queueing(Capacity((Machine(6, 2**34),)))


@pytest.fixture
def world(tmp_path: Path, place: Queueing) -> Iterator[CoreWorld]:
    core_world = CoreWorld(tmp_path, backend=place)
    yield core_world
    core_world.close()


def wants(parallelism: int, **keys: Any) -> dict[str, Any]:
    return {"budget": 1000, "parallelism": parallelism, "resources": {"cpu": 1}, **keys}


def test_what_waits_in_a_queue_keeps_nothing_from_others(world: CoreWorld, place: Queueing) -> None:
    waiting = world.create(**wants(6, placement={"queue": "team"}))
    world.tick(3)
    place.let_in(2)
    world.tick(3)
    other = world.create(**wants(6))
    world.tick(3)
    assert (len(place.of(waiting)), len(place.of(other))) == (2, 4)
    reason = world.status(waiting)["workers"][-1]["reason"]
    assert reason == "waits in the queue team: insufficient unused quota for cpu"


def test_what_a_queue_lets_in_gets_its_place_back_from_those_after_it(world: CoreWorld, place: Queueing) -> None:
    waiting = world.create(**wants(6, placement={"queue": "team"}))
    world.tick(3)
    other = world.create(**wants(6))
    world.tick(3)
    assert len(place.of(other)) == 6
    place.let_in(3)
    world.tick(3)
    states = [worker["state"] for worker in world.status(other)["workers"]]
    assert (len(place.of(waiting)), states.count("draining")) == (3, 3), "what drains goes when its trial is over"


def test_only_some_workers_wait_in_a_queue_at_once(world: CoreWorld, place: Queueing) -> None:
    place.room = Capacity((Machine(500, 2**40),))
    world.create(**wants(100, placement={"queue": "team"}))
    world.tick(3)
    assert len(place.pending) == MAX_PENDING_WORKERS
    place.let_in(4)
    world.tick(3)
    assert len(place.pending) == MAX_PENDING_WORKERS


def test_what_a_queue_let_in_keeps_its_place_while_it_pulls_its_image(world: CoreWorld, place: Queueing) -> None:
    world.create(**wants(6, placement={"queue": "team"}))
    world.tick(3)
    for worker in [*place.pending][:2]:
        place.queued.remove(worker)
        place.pending[worker] = "pulls its image"
    world.tick(3)
    other = world.create(**wants(6))
    world.tick(3)
    assert len(place.of(other)) == 4
