"""Calls of workers on PostgreSQL, where they wait for the lock of their experiment beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from orchestune.domain.lifecycle.transitions import Cause
from orchestune.services.execution import register_worker
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.execution.worker_call import WorkerNotNeeded
from orchestune.store import workers
from orchestune.store.rows import Query
from orchestune.wire.registration import PROTOCOL, Registration
from tests.contract.world import CoreWorld, FakeWorker
from tests.testbeds.waiting import until

T = TypeVar("T")


@pytest.fixture
def world(tmp_path: Path, postgres_database: str) -> Iterator[CoreWorld]:
    core_world = CoreWorld(tmp_path, postgres_database)
    yield core_world
    core_world.close()


def begun(world: CoreWorld) -> tuple[str, FakeWorker]:
    """An experiment with trials to hand out, and a worker that may have them."""
    experiment = world.create(budget=4, parallelism=1)
    world.tick(2)
    return experiment, next(iter(world.workers.values()))


def meanwhile(world: CoreWorld, experiment: str, call: Callable[[], T], change: Callable[[Ledger], object]) -> T:
    """Return the answer of a call that waited for the lock of the experiment during a change."""
    with ThreadPoolExecutor(1) as others:
        with locked(world.core, experiment) as ledger:
            answer = others.submit(call)
            until("a call that waits for the lock", lambda: _waits(world))
            change(ledger)
        return answer.result(60)


def _waits(world: CoreWorld) -> bool:
    with world.core.store.reading() as session:
        return bool(session.rows(Query(int, "SELECT 1 FROM pg_locks WHERE NOT granted"), {}))


def end(worker: str, ledger: Ledger) -> None:
    workers.move(ledger.session, worker, Cause.END, ended_at=ledger.now, reason="killed")


def test_a_worker_that_was_ended_while_its_call_waited_is_given_nothing(world: CoreWorld) -> None:
    experiment, worker = begun(world)
    answer = meanwhile(world, experiment, partial(worker.call, want=1), partial(end, worker.id))
    assert (answer["leases"], worker.over) == ([], True)
    assert world.status(experiment)["counts"]["running"] == 0


def test_a_worker_that_was_told_to_drain_while_its_call_waited_is_given_nothing(world: CoreWorld) -> None:
    experiment, worker = begun(world)
    heir = world.create(budget=1)
    answer = meanwhile(
        world,
        experiment,
        partial(worker.call, want=1),
        lambda ledger: workers.hand_over(ledger.session, worker.id, heir),
    )
    assert (answer["leases"], answer["again"]) == ([], True)


def test_a_worker_that_was_lost_while_its_call_waited_is_back(world: CoreWorld) -> None:
    experiment, worker = begun(world)
    answer = meanwhile(
        world,
        experiment,
        partial(worker.call, want=1),
        lambda ledger: workers.move(ledger.session, worker.id, Cause.LOSE, reason="silent"),
    )
    assert len(answer["leases"]) == 1
    assert [worker["state"] for worker in world.status(experiment)["workers"]] == ["busy"]


def test_a_worker_that_was_lost_and_is_ended_while_it_speaks_again_holds_up_nobody(world: CoreWorld) -> None:
    experiment, worker = begun(world)
    with world.core.store.transaction() as session:
        workers.move(session, worker.id, Cause.LOSE, reason="silent")
    answer = meanwhile(world, experiment, partial(worker.call, want=1), partial(end, worker.id))
    assert (answer["leases"], worker.over) == ([], True)


def test_a_worker_that_was_ended_while_it_registers_is_no_longer_wanted(world: CoreWorld) -> None:
    experiment, worker = begun(world)
    hello = partial(register_worker.register, world.core, worker.id, Registration(protocol=PROTOCOL, boot="another"))
    with pytest.raises(WorkerNotNeeded):
        meanwhile(world, experiment, hello, partial(end, worker.id))
