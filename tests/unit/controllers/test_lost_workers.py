"""Workers that could not be heard, which is not the same as being silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from orchestune.controllers.crash_backoff import CrashBackoff
from orchestune.controllers.lost_workers import GIVE_UP_SECONDS, LostWorkers
from orchestune.errors import StoreUnavailable, TemporaryError
from orchestune.ports.backend import Phase, WorkerStatus
from orchestune.services.memory import call_pace
from orchestune.store.database import Store
from tests.contract.world import CoreWorld

BEAT = 2.0


class SometimesAway(Store):
    """A store that is away while `away` names what of it."""

    full = False

    def __init__(self, store: Store) -> None:
        self._store, self.away = store, ""

    @contextmanager
    def reading(self) -> Iterator[Any]:
        with self._unless_away("reading"), self._store.reading() as session:
            yield session

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Any]:
        with self._unless_away("reading", "writing"), self._store.transaction(durable) as session:
            yield session

    @contextmanager
    def _unless_away(self, *names: str) -> Iterator[None]:
        if self.away in names:
            raise StoreUnavailable("the store is away")
        yield


def states(world: CoreWorld, experiment: str) -> list[str]:
    return [str(worker["state"]) for worker in world.status(experiment)["workers"]]


def tick(lost_workers: LostWorkers) -> None:
    """As the loop of controllers does it."""
    try:
        lost_workers.tick()
    except StoreUnavailable:
        pass


def test_a_server_that_stood_still_lets_workers_speak_before_it_counts_them_as_lost(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    world.lost_workers.tick()
    for _ in range(3):
        world.clock.pass_time(BEAT + 120)  # it was frozen, and its workers too
        world.lost_workers.tick()
        world.clock.pass_time(BEAT)
        world.lost_workers.tick()
        assert states(world, experiment) == ["busy"]
        worker.call(beats=[worker.started(lease)])
        world.lost_workers.tick()
    world.hear_nothing(world.core.lease_seconds)
    assert states(world, experiment) == ["lost"], "this silence is one"


def test_leases_last_longer_while_workers_are_asked_to_pause(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_pace, "MAX_CALLS_PER_SECOND", 0.1)  # one worker is as many as 5,000
    experiment = world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    world.lost_workers.tick()
    world.hear_nothing(world.core.lease_seconds + 1)
    assert states(world, experiment) == ["busy"]
    world.hear_nothing(call_pace.PAUSES_PER_LEASE * 10 - world.core.lease_seconds)
    assert states(world, experiment) == ["lost"]


@pytest.mark.parametrize("what", ["reading", "writing"])
def test_an_outage_of_the_store_expires_no_lease(world: CoreWorld, what: str) -> None:
    experiment = world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    store = SometimesAway(world.core.store)
    core = replace(world.core, store=store)
    lost_workers = LostWorkers(core, CrashBackoff(core))
    tick(lost_workers)
    store.away = what
    for _ in range(60):
        world.clock.pass_time(1.0)
        tick(lost_workers)
    store.away = ""
    for _ in range(5):
        tick(lost_workers)
        world.clock.pass_time(1.0)
    assert states(world, experiment) == ["busy"]
    worker.call(finished=[worker.finish(lease)])
    assert world.status(experiment)["counts"]["completed"] == 1


def test_a_worker_that_cannot_be_ended_keeps_no_other_from_it(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = world.create(budget=4, parallelism=2)
    for worker, lease in world.lease(2):
        worker.call(beats=[worker.started(lease)])
    world.lost_workers.tick()
    world.hear_nothing(world.core.lease_seconds)
    assert states(world, experiment) == ["lost", "lost"]
    tried: list[str] = []

    def terminate(worker: str, handle: Any, grace: float) -> None:
        tried.append(worker)
        if len(tried) == 1:
            raise TemporaryError("the place is away")

    monkeypatch.setattr(world.backend, "terminate", terminate)
    world.hear_nothing(GIVE_UP_SECONDS)
    assert len(set(tried)) == 2
    world.hear_nothing(BEAT)
    assert tried.count(tried[0]) > 1, "the one that could not be ended is ended again"


def test_what_the_backend_learns_about_a_started_worker_is_recorded(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = world.create(budget=2, parallelism=1)
    world.lease()
    handle = {"namespace": "ml", "job": "orchestune-x", "pod": "orchestune-x-1"}
    observed = lambda handles: [WorkerStatus(worker, Phase.RUNNING, handle) for worker in handles]
    monkeypatch.setattr(world.backend, "observe", observed)
    world.lost_workers.tick()
    assert world.status(experiment)["workers"][0]["objects"] == handle
