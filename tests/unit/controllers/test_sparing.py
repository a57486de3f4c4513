"""Workers of tests that are over: kept for a while, and handed over to the next test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from orchestune.controllers.warm_pool import WARM_SECONDS, WarmPool
from orchestune.domain.resources.resources import Capacity, Machine
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.services.commands.change_experiment import delete, stop
from orchestune.services.signatures import signed_worker
from orchestune.store import experiment_lists, workers
from tests.contract.world import CoreWorld, FakeWorker

WIDE = Capacity((Machine(16, 2**36),))
TEST = {TEST_LABEL: "0"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    """A world whose cluster runs a worker as a container with one slot."""
    core_world = CoreWorld(tmp_path, capacity=WIDE)
    core_world.backend.slots_per_worker = 1
    yield core_world
    core_world.close()


def one_test(world: CoreWorld, **changes: Any) -> str:
    """Run one test to its end; its id."""
    test = world.create(budget=1, parallelism=1, labels=TEST, **changes)
    finish(world, test)
    return test


def finish(world: CoreWorld, experiment: str) -> None:
    """Let its workers do what they get until it is over; workers of others only say that they live."""
    for _ in range(50):
        world.tick()
        for worker in list(world.workers.values()):
            worker.call(want=1, finished=[worker.finish(lease) for lease in worker.leases.values()])
            if worker.goes_on:
                world.workers[worker.id] = FakeWorker(world.core, worker.id, life=worker.life + 1)
        if world.status(experiment)["state"] == "completed":
            return
    raise AssertionError(world.status(experiment))


def origins(world: CoreWorld, experiment: str) -> list[str | None]:
    return [worker["came_from"] for worker in world.status(experiment)["workers"]]


def test_the_next_test_takes_over_the_worker_of_the_one_before(world: CoreWorld) -> None:
    first = one_test(world)
    second = one_test(world)
    assert len(world.backend.orders) == 1 and not world.backend.ended
    assert origins(world, second) == [world.status(first)["handle"]]
    assert [(worker["state"], worker["succeeded"]) for worker in world.status(first)["workers"]] == [("ended", 1)]


def test_records_of_an_experiment_keep_the_worker_that_went_on_with_a_test(world: CoreWorld) -> None:
    first = one_test(world)
    second = one_test(world)
    delete(world.core, second, True, "ada")
    world.clock.pass_time(WARM_SECONDS + 1)
    world.tick()
    world.clock.pass_time(WARM_SECONDS + 1)
    world.tick(3)
    (trial,) = world.trials(first)
    assert trial["attempts"][0]["worker"] == "w1"


def test_an_idle_worker_of_a_running_experiment_is_taken_over_too(world: CoreWorld) -> None:
    experiment = world.create(budget=4, parallelism=1, engine="tpe")
    ((worker, lease),) = world.lease()
    worker.call(finished=[worker.finish(lease)])  # and nothing more was suggested yet
    test = world.create(budget=1, parallelism=1, labels=TEST)
    launching = world.controllers[2]
    launching.tick()
    finish(world, test)
    assert origins(world, test) == [world.status(experiment)["handle"]]
    assert world.run(experiment)["counts"]["completed"] == 4


@pytest.mark.parametrize(
    "changes",
    [{"owner": "grace"}, {"resources": {"cpu": 2}}, {"placement": {"image": "other:1"}}, {"grace": 3}],
    ids=["another owner", "other resources", "another image", "another grace"],
)
def test_a_worker_of_another_kind_is_not_taken_over(world: CoreWorld, changes: dict[str, Any]) -> None:
    one_test(world)
    second = one_test(world, **changes)
    assert len(world.backend.orders) == 2
    assert origins(world, second) == [None]


def test_a_warm_worker_goes_when_nobody_needs_it_for_long(world: CoreWorld) -> None:
    one_test(world)
    world.tick(3)
    assert not world.backend.ended
    world.clock.pass_time(WARM_SECONDS + 1)
    world.tick(3)
    assert world.backend.ended == set(world.backend.orders)


def test_a_warm_worker_goes_at_once_when_somebody_waits_for_its_place(world: CoreWorld) -> None:
    one_test(world)
    waits = world.create(resources={"cpu": 4})
    world.backend.room = Capacity((Machine(1, 2**30),))
    world.tick(3)
    assert world.status(waits)["reason"]["code"] == "never_fits"
    assert world.backend.ended == set(world.backend.orders)


def test_the_worker_of_a_test_that_was_stopped_goes_at_once(world: CoreWorld) -> None:
    test = world.create(budget=1, parallelism=1, labels=TEST)
    world.lease()
    stop(world.core, test, "ada")
    world.tick(3)
    assert world.backend.ended == set(world.backend.orders)


def test_the_workers_of_an_experiment_that_is_no_test_go_at_once(world: CoreWorld) -> None:
    finish(world, world.create(budget=1, parallelism=1))
    world.tick(3)
    assert world.backend.ended == set(world.backend.orders)


def test_a_worker_whose_heir_is_over_before_it_came_ends(world: CoreWorld) -> None:
    one_test(world)
    second = world.create(budget=1, parallelism=1, labels=TEST)
    world.tick()
    (worker,) = world.workers.values()
    worker.call(want=1)
    assert worker.goes_on
    stop(world.core, second, "ada")
    assert FakeWorker(world.core, worker.id, life=2).over
    world.tick(3)
    assert world.backend.ended == set(world.backend.orders)


def test_a_worker_that_went_on_has_a_token_of_its_new_experiment_and_the_old_life_gets_nothing(
    world: CoreWorld,
) -> None:
    one_test(world)
    second = world.create(budget=1, parallelism=1, labels=TEST)
    world.tick()
    (before,) = world.workers.values()
    before.call(want=1)
    after = FakeWorker(world.core, before.id, life=2)
    worker = signed_worker(world.core, after.token)
    assert worker is not None and (worker.worker, worker.experiment) == (before.id, second)
    world.tick(3)
    assert not before.call(want=1)["leases"]
    after.call()
    assert after.call(want=1)["leases"]


def test_a_test_that_waits_takes_one_look_at_what_workers_do_however_many_there_are(world: CoreWorld) -> None:
    statements: list[str] = []
    event.listen(world.core.store.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    world.backend.room = Capacity((Machine(64, 2**38),))
    counts = []
    for parallelism in (4, 16):
        world.create(budget=parallelism, parallelism=parallelism)
        assert len(world.lease(parallelism)) == parallelism
        test = world.create(budget=1, parallelism=1, labels=TEST, owner=f"of {parallelism}")
        with world.core.store.reading() as session:
            rows, present = experiment_lists.unfinished(session), workers.present(session, "local")
        statements.clear()
        present_workers, handed_over = WarmPool(world.core).hand_over(world.backend, rows, present)
        counts.append(len(statements))
        assert (present_workers, handed_over) == (present, [])
        delete(world.core, test, True, "ada")
    assert counts[0] == counts[1]
