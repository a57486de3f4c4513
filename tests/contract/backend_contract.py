"""The promises of every backend, as tests: subclass `BackendContract` and give it a `place`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from orchestune.domain.lifecycle.ids import uuid7
from orchestune.ports.backend import Backend, Phase, WorkerOrder, WorkerStatus

_DEADLINE = 60.0


class BackendUnderTest(Protocol):
    """The place in which the workers of one test run, seen from the outside."""

    def backend(self) -> Backend:
        """A new object over the same place, as after a restart of the server."""

    def kill(self, worker: str, handle: Mapping[str, Any]) -> None:
        """End the worker as a failing machine would: at once, without a word to the backend."""

    def stubborn(self) -> Mapping[str, Any]:
        """A `launch` with which a worker ignores SIGTERM and starts a process that leaves its session and group."""

    def belongings(self, worker: str) -> Sequence[str]:
        """A line for everything that runs for the worker, however far it went from it."""

    def in_public(self) -> str:
        """Texts that every user of the place can read: command lines, descriptions."""

    def recording(self) -> AbstractContextManager[list[dict[str, Any]]]:
        """Record the requests by which backends start workers in the block, in the form of `PlannedWorker.objects`."""

    def contents(self) -> Sequence[str]:
        """Names of the files and objects that backends have created here."""


class BackendContract:
    """Each test gets the fixture `place: Place`, which terminates what is left after the test."""

    def test_a_worker_that_was_started_is_seen(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order()
        handle = backend.start(order)
        sighting = wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
        assert sighting.worker == order.worker
        assert place.belongings(order.worker)

    def test_a_handle_is_json(self, place: BackendUnderTest) -> None:
        handle = place.backend().start(new_order())
        assert json.loads(json.dumps(dict(handle))) == dict(handle)

    def test_starting_the_same_id_twice_starts_one_worker(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order()
        first = backend.start(order)
        wait_for_phase(backend, order.worker, first, Phase.RUNNING)
        assert backend.start(order) == first
        assert place.backend().start(order) == first
        assert len(place.belongings(order.worker)) == 1

    def test_a_new_backend_object_finds_the_worker_by_its_handle(self, place: BackendUnderTest) -> None:
        order = new_order()
        handle = place.backend().start(order)
        backend_ref = wait_for_phase(place.backend(), order.worker, handle, Phase.RUNNING).backend_ref
        assert handle.items() <= backend_ref.items(), "it may have learned more, such as the name of the pod"

    def test_a_worker_whose_handle_was_never_stored_is_found(self, place: BackendUnderTest) -> None:
        order = new_order()
        handle = place.backend().start(order)
        assert handle.items() <= wait_for_phase(place.backend(), order.worker, {}, Phase.RUNNING).backend_ref.items()

    def test_a_killed_worker_is_gone_and_stays_gone_when_it_is_started_again(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order()
        handle = backend.start(order)
        wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
        place.kill(order.worker, handle)
        status = wait_for_phase(backend, order.worker, handle, Phase.GONE)
        assert status.reason
        again = backend.start(order)
        assert wait_for_phase(backend, order.worker, again, Phase.GONE).reason == status.reason

    def test_a_worker_that_was_looked_for_before_it_was_started_starts(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order()
        assert [sighting.phase for sighting in backend.observe({order.worker: {}})] == [Phase.GONE]
        wait_for_phase(backend, order.worker, backend.start(order), Phase.RUNNING)

    def test_an_unknown_worker_is_gone(self, place: BackendUnderTest) -> None:
        sightings = place.backend().observe({new_id(): {}, "../../etc": {"pid": 1}})
        assert [sighting.phase for sighting in sightings] == [Phase.GONE, Phase.GONE]

    def test_one_call_observes_many(self, place: BackendUnderTest) -> None:
        backend, orders = place.backend(), [new_order() for _ in range(3)]
        handles = {order.worker: backend.start(order) for order in orders}
        assert {sighting.worker for sighting in backend.observe({**handles, "none": {}})} == {*handles, "none"}
        assert list(backend.observe({})) == []

    def test_a_worker_that_is_ended_goes(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order()
        handle = backend.start(order)
        wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
        backend.terminate(order.worker, handle, 60.0)
        wait_for_phase(backend, order.worker, handle, Phase.GONE)
        wait_until(lambda: not place.belongings(order.worker))

    def test_after_the_grace_everything_that_the_worker_started_is_gone(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order(launch=place.stubborn())
        handle = backend.start(order)
        wait_until(lambda: len(place.belongings(order.worker)) >= 2)
        backend.terminate(order.worker, handle, 0.2)
        wait_for_phase(backend, order.worker, handle, Phase.GONE)
        wait_until(lambda: not place.belongings(order.worker))

    def test_ending_is_idempotent_and_does_not_wait(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order(launch=place.stubborn())
        handle = backend.start(order)
        wait_until(lambda: len(place.belongings(order.worker)) >= 2)
        backend.terminate(order.worker, handle, 3600.0)
        backend.terminate(order.worker, handle, 3600.0)
        backend.terminate(order.worker, handle, 0.2)
        wait_for_phase(backend, order.worker, handle, Phase.GONE)
        backend.terminate(order.worker, handle, 0.2)
        backend.terminate(new_id(), {}, 0.2)

    def test_a_worker_that_a_former_server_told_to_end_is_killed_after_its_grace(self, place: BackendUnderTest) -> None:
        order = new_order(launch=place.stubborn())
        handle = place.backend().start(order)
        wait_until(lambda: len(place.belongings(order.worker)) >= 2)
        place.backend().terminate(order.worker, handle, 1.0)
        wait_for_phase(place.backend(), order.worker, handle, Phase.GONE)
        wait_until(lambda: not place.belongings(order.worker))

    def test_the_token_is_nowhere_in_public(self, place: BackendUnderTest) -> None:
        backend, order = place.backend(), new_order()
        handle = backend.start(order)
        wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
        assert order.token not in place.in_public()
        assert order.token not in json.dumps(dict(handle))

    def test_a_start_sends_what_was_planned(self, place: BackendUnderTest) -> None:
        backend, orders = place.backend(), [new_order(), new_order()]
        wait_for_phase(backend, orders[0].worker, backend.start(orders[0]), Phase.RUNNING)
        planned = backend.plan(orders[1]).objects
        with place.recording() as requests:
            wait_for_phase(backend, orders[1].worker, backend.start(orders[1]), Phase.RUNNING)
        assert list(planned) == requests
        assert orders[1].token not in json.dumps(requests)

    def test_a_plan_creates_nothing(self, place: BackendUnderTest) -> None:
        before = place.contents()
        assert place.backend().plan(new_order()).objects
        assert place.contents() == before

    def test_the_capacity_can_hold_a_trial(self, place: BackendUnderTest) -> None:
        capacity = place.backend().capacity()
        assert all(machine.cpu > 0 and machine.memory > 0 for machine in capacity.machines)
        assert capacity.machines or capacity.elastic
        assert len(set(capacity.gpus)) == len(capacity.gpus)


def new_id() -> str:
    """A fresh id of a worker."""
    return uuid7(time.time_ns() // 1_000_000, secrets.token_bytes(10))


def new_order(launch: Mapping[str, Any] | None = None) -> WorkerOrder:
    """An order for one worker with two slots."""
    worker = new_id()
    return WorkerOrder(worker, new_id(), f"secret-token-of-{worker}", 2, ("0", "1"), launch or {})


def wait_for_phase(backend: Backend, worker: str, handle: Mapping[str, Any], phase: Phase) -> WorkerStatus:
    """Observe until the worker is in that phase."""
    deadline = time.monotonic() + _DEADLINE
    while True:
        (sighting,) = backend.observe({worker: handle})
        if sighting.phase is phase:
            return sighting
        assert time.monotonic() < deadline, f"still {sighting.phase}: {sighting.reason}"
        time.sleep(0.02)


def wait_until(condition: Callable[[], object]) -> None:
    """Look until it holds."""
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
