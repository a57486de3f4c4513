"""Places that are away for a while, that wait, and that have to be swept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestune.controllers.backend_cleanup import INTERVAL_SECONDS, BackendCleanup
from orchestune.errors import TemporaryError, UsageError
from orchestune.ports.backend import WorkerOrder
from orchestune.services.commands.change_experiment import Changes, change_experiment, pause, stop
from orchestune.services.commands.create_experiment import create_experiment
from orchestune.services.queries import read_experiments
from tests.contract.world import CoreWorld, FakeBackend


class Unsteady(FakeBackend):
    """Can be unavailable, and remembers what it was ordered to sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.why = "the API server is away"
        self.tried: list[str] = []
        self.swept: list[frozenset[str]] = []

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        self.tried.append(order.worker)
        if self.away:
            raise TemporaryError(self.why)
        return super().start(order)

    def sweep(self, workers: frozenset[str]) -> None:
        self.swept.append(workers)


def create_remote(world: CoreWorld) -> str:
    """An experiment at the other place."""
    return str(create_experiment(world.core, replace(world.request(parallelism=1), cluster="empty"), "ada")["id"])


@pytest.fixture
def place() -> Unsteady:
    return Unsteady()


@pytest.fixture
def world(tmp_path: Path, place: Unsteady) -> Iterator[CoreWorld]:
    core_world = CoreWorld(tmp_path, backend=place)
    yield core_world
    core_world.close()


def test_a_place_that_is_away_for_minutes_pauses_nothing_and_gets_the_same_workers(
    world: CoreWorld, place: Unsteady
) -> None:
    place.away = True
    experiment = world.create(budget=4, parallelism=2)
    for _ in range(300):
        world.clock.pass_time(1.0)
        world.tick()
    status = world.status(experiment)
    assert (status["state"], status["reason"]["code"]) == ("pending", "waiting_for_resources")
    assert "the API server is away" in status["reason"]["message"]
    assert len(set(place.tried)) == len(status["workers"])
    place.away = False
    assert world.run(experiment)["counts"]["completed"] == 4
    assert set(place.orders) == set(place.tried)


def test_a_place_that_takes_no_more_for_now_is_asked_for_one_worker_at_a_time(
    world: CoreWorld, place: Unsteady
) -> None:
    place.away, place.slots_per_worker = True, 1
    experiment = world.create(budget=20, parallelism=8)
    world.tick(5)
    assert len(place.tried) == 5 and len(world.status(experiment)["workers"]) == 1
    place.away = False
    world.tick(2)
    assert len(place.orders) == 8


def test_why_a_worker_could_not_be_started_is_logged_once_until_it_changes(
    world: CoreWorld, place: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    place.away = True
    experiment = world.create(budget=1, parallelism=1)
    world.tick(3)
    place.why = "no space left"
    world.tick(3)
    prefix = f"{world.status(experiment)['handle']}: a worker could not be started: "
    assert [record.message for record in caplog.records] == [
        f"{prefix}the API server is away",
        f"{prefix}no space left",
    ]


def test_what_could_not_be_started_ends_with_its_experiment(world: CoreWorld, place: Unsteady) -> None:
    place.away = True
    experiment = world.create(budget=4)
    world.tick(3)
    stop(world.core, experiment, "ada")
    world.tick(5)
    assert {worker["state"] for worker in world.status(experiment)["workers"]} == {"ended"}
    assert world.status(experiment)["state"] == "stopped"


def test_a_worker_that_waits_for_its_machine_is_ended_when_nobody_needs_it_any_more(
    world: CoreWorld, place: Unsteady
) -> None:
    experiment = world.create(budget=4, parallelism=2)
    world.controllers[2].tick()
    place.pending.update(dict.fromkeys(place.orders, "no node takes it"))
    world.tick()
    assert "no node takes it" in world.status(experiment)["reason"]["message"]
    pause(world.core, experiment, False, "ada")
    world.tick(3)
    assert place.ended == set(place.orders)


def test_workers_that_are_ended_while_they_wait_for_their_place_say_nothing_of_the_next_ones(
    world: CoreWorld, place: Unsteady, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(worker: str, handle: Mapping[str, Any], grace: float) -> None:
        place.pending.pop(worker, None)
        place.gone[worker] = "the worker was asked to terminate"

    monkeypatch.setattr(place, "terminate", terminate)
    place.slots_per_worker = 1
    experiment = world.create(budget=20, parallelism=8)
    world.controllers[2].tick()
    place.pending.update(dict.fromkeys(place.orders, "no node takes it"))
    world.tick()
    for parallelism in (1, 8):
        change_experiment(world.core, experiment, Changes(parallelism=parallelism), "ada")
        world.tick(3)
    status = world.status(experiment)
    assert len(place.gone) == 7
    assert status["desired"] == "running" and len(place.orders) == 15


def test_a_worker_that_is_lost_for_long_gives_its_place_back(world: CoreWorld, place: Unsteady) -> None:
    experiment = world.create(budget=4, parallelism=1)
    world.lease()
    for _ in range(20):
        world.clock.pass_time(1.0)
        world.tick()
    assert next(worker["state"] for worker in world.status(experiment)["workers"]) == "lost"
    assert place.ended == set()
    for _ in range(130):
        world.clock.pass_time(1.0)
        world.tick()
    first = next(iter(place.orders))
    assert first in place.ended
    worker = next(iter(world.status(experiment)["workers"]))
    assert worker["state"] == "ended"
    assert "no heartbeat from worker" in worker["reason"], "why it had to end is not forgotten"


def test_a_worker_that_is_lost_for_long_gives_its_place_back_whoever_else_has_workers(
    world: CoreWorld, place: Unsteady
) -> None:
    world.create(budget=4, parallelism=1)
    world.lease()
    create_remote(world)
    world.tick()
    world.empty.pending.update(dict.fromkeys(world.empty.orders, "no node takes it"))
    for _ in range(150):
        world.clock.pass_time(1.0)
        world.tick()
    assert next(iter(place.orders)) in place.ended


def test_a_sweep_is_told_what_there_still_is(world: CoreWorld, place: Unsteady) -> None:
    experiment, sweeping = world.create(), BackendCleanup(world.core)
    world.tick(2)
    sweeping.tick()
    assert place.swept == [frozenset(place.orders)]
    sweeping.tick()
    assert len(place.swept) == 1
    world.clock.pass_time(INTERVAL_SECONDS + 0.1)
    world.run(experiment)
    place.gone.update(dict.fromkeys(place.orders, ""))
    world.tick(2)
    sweeping.tick()
    assert place.swept[-1] == frozenset()


def test_a_place_that_is_away_keeps_no_other_from_what_is_to_be_done(
    world: CoreWorld, place: Unsteady, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, remote = world.create(parallelism=1), create_remote(world)
    swept = list[frozenset[str]]()
    monkeypatch.setattr(world.empty, "sweep", swept.append)
    sweeping = BackendCleanup(world.core)
    world.tick()

    def away(*arguments: object) -> None:
        raise TemporaryError("the API server is away")

    for call in ("observe", "terminate", "sweep"):
        monkeypatch.setattr(place, call, away)
    [worker] = world.empty.orders
    with pytest.raises(TemporaryError, match="is away"):
        sweeping.tick()
    assert swept == [frozenset([worker])]
    stop(world.core, local, "ada")
    stop(world.core, remote, "ada")
    finishing, lost_workers, *_ = world.controllers
    with pytest.raises(TemporaryError, match="is away"):
        finishing.tick()
    assert world.empty.ended == {worker}
    with pytest.raises(TemporaryError, match="is away"):
        lost_workers.tick()
    assert [worker["state"] for worker in world.status(remote)["workers"]] == ["ended"]


def test_a_place_that_refuses_a_worker_pauses_the_experiment_and_its_worker_is_named(
    world: CoreWorld, place: Unsteady, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(order: WorkerOrder) -> Mapping[str, Any]:
        raise UsageError("there is no such image")

    monkeypatch.setattr(place, "start", refuse)
    experiment = world.create(budget=1)
    world.tick(2)
    events = read_experiments.events(world.core, experiment, 0, 50)["items"]
    ended = [event for event in events if event["kind"] == "worker_ended"]
    assert [event["data"] for event in ended] == [{"worker": "w1", "reason": "there is no such image"}]
    [paused] = [event for event in events if event["data"].get("state") == "paused"]
    assert paused["at"] == ended[0]["at"], "in one transaction"
    assert world.status(experiment)["reason"]["message"] == "no worker can be started: there is no such image"
