"""Gives experiments their workers: as many as they can use and the place has room for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from orchestune.domain.resources import Capacity, Demand, Room, allocate, fits
from orchestune.domain.states import Desired, Reason, ReasonCode, WorkerState
from orchestune.domain.transitions import Cause
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.backend import Backend, WorkerOrder
from orchestune.ports.clock import new_id
from orchestune.services.core import Core
from orchestune.services.ledger import locked
from orchestune.services.signatures import worker_token
from orchestune.store import experiments, workers
from orchestune.store.experiments import ExperimentRow

log = logging.getLogger(__name__)

_USABLE = (WorkerState.STARTING, WorkerState.ALIVE)
DEATHS_BEFORE_PAUSE = 5
"""workers in a row that ended without having run anything"""


@dataclass
class _Failures:
    deaths: int = 0
    not_before: float = 0.0
    counted: int = 0
    """workers of the experiment that ended and were looked at"""


class Launching:
    """Starts, resizes and drains workers. A worker holds what its slots need for as long as it lives."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._failures: dict[str, _Failures] = {}

    def tick(self) -> None:
        """Bring every cluster's workers to where they should be."""
        with self._core.store.reading() as session:
            rows = experiments.unfinished(session)
            present = {name: list(workers.present(session, name)) for name in self._core.backends}
        for name, backend in self._core.backends.items():
            mine = [row for row in rows if row.cluster == name]
            if mine or present[name]:
                self._cluster(backend, mine, present[name])

    def _cluster(self, backend: Backend, rows: Sequence[ExperimentRow], present: Sequence[Row[Any]]) -> None:
        capacity = backend.capacity()
        by_experiment: dict[str, list[Row[Any]]] = {}
        for worker in present:
            if worker.state != WorkerState.LOST:
                by_experiment.setdefault(worker.experiment, []).append(worker)
        demands = [Demand(row.id, slots_wanted(row), row.specification.resources) for row in rows]
        granted = allocate(capacity, demands)
        taken = {device for worker in present for device in (json.loads(worker.gpus) if worker.gpus else ())}
        free = [device for device in capacity.gpus if device not in taken]
        room = self._room(backend, capacity, rows, by_experiment)
        for row in rows:
            mine = by_experiment.get(row.id, [])
            have = sum(worker.slots for worker in mine if worker.state in _USABLE)
            missing = room.fit(row.specification.resources, max(granted[row.id] - have, 0))
            self._say_why(
                row, capacity, have + missing, [other for other in rows if granted[other.id] or other.running]
            )
            room.take(row.specification.resources, missing)
            self._experiment(backend, row, mine, min(granted[row.id], have + missing), free)
        for experiment in by_experiment.keys() - {row.id for row in rows}:
            for worker in by_experiment[experiment]:
                self._drain(worker)

    def _room(
        self,
        backend: Backend,
        capacity: Capacity,
        rows: Sequence[ExperimentRow],
        by_experiment: Mapping[str, Sequence[Row[Any]]],
    ) -> Room:
        """What nobody holds: a trial that ends on a draining worker, or beyond its new slots, needs its place still."""
        room = Room(capacity)
        limited = [row for row in rows if row.specification.resources.cpu or row.specification.resources.memory]
        if limited:
            with self._core.store.reading() as session:
                busy = workers.at_work(session, backend.name)
            for row in limited:
                for worker in by_experiment.get(row.id, ()):
                    slots = worker.slots if worker.state in _USABLE else 0
                    room.take(row.specification.resources, max(slots, busy.get(worker.id, 0)))
        return room

    def _experiment(
        self, backend: Backend, row: ExperimentRow, mine: Sequence[Row[Any]], slots: int, free: list[str]
    ) -> None:
        usable = [worker for worker in mine if worker.state in _USABLE]
        for worker in usable:
            if worker.state == WorkerState.STARTING and worker.handle is None:  # the server died while it started it
                self._hand_over(backend, row, worker.id, worker.slots, tuple(json.loads(worker.gpus or "[]")))
        have = sum(worker.slots for worker in usable)
        if have > slots:
            for worker in reversed(usable):
                spare = have - slots
                if spare <= 0:
                    break
                if worker.slots <= spare:
                    self._drain(worker)
                    have -= worker.slots
                elif not row.specification.resources.gpu:
                    self._resize(worker, worker.slots - spare)
                    have -= spare
            return
        missing = slots - have
        if missing > 0 and not self._too_early(row):
            self._grow(backend, row, missing, usable, free)

    def _grow(
        self,
        backend: Backend,
        row: ExperimentRow,
        missing: int,
        usable: Sequence[Row[Any]],
        free: list[str],
    ) -> None:
        gpu = row.specification.resources.gpu
        if gpu:
            for _ in range(min(missing, len(free) // gpu)):
                self._start(backend, row, 1, tuple(free[:gpu]))
                del free[:gpu]
            return
        room = max(int(backend.capacity().cpu), 1) - len(usable)  # one process per core, with as many slots as it takes
        if room <= 0:
            self._resize(usable[-1], usable[-1].slots + missing)
            return
        for slots in spread(missing, room):
            self._start(backend, row, slots, ())

    def _start(self, backend: Backend, row: ExperimentRow, slots: int, gpus: tuple[str, ...]) -> None:
        worker = new_id(self._core.clock)
        with locked(self._core, row.id) as ledger:
            if ledger.row.desired is not Desired.RUNNING or ledger.row.ended is not None:
                return
            ledger.row.worker_seq += 1
            values = {
                "id": worker,
                "experiment": row.id,
                "cluster": row.cluster,
                "name": f"w{ledger.row.worker_seq}",
                "state": WorkerState.STARTING,
                "slots": slots,
                "gpus": json.dumps(gpus) if gpus else None,
                "created_at": ledger.now,
            }
            workers.add(ledger.session, values)
        self._hand_over(backend, row, worker, slots, gpus)

    def _hand_over(self, backend: Backend, row: ExperimentRow, worker: str, slots: int, gpus: tuple[str, ...]) -> None:
        """Let the backend start a worker whose row is there; the same one twice is one."""
        order = WorkerOrder(worker, row.id, worker_token(self._core, worker, row.id), slots, gpus, row.launch)
        try:
            handle = backend.start(order)
        except TemporaryError as error:
            log.warning("%s: a worker could not be started: %s", row.handle, error)
            self._give_up(row, worker, str(error))
        except OrchestuneError as error:
            self._give_up(row, worker, str(error))
            with locked(self._core, row.id) as ledger:
                ledger.pause(Reason(ReasonCode.WORKERS_FAIL, f"no worker can be started: {error}"))
        else:
            with self._core.store.transaction() as session:
                workers.change(session, worker, handle=json.dumps(dict(handle)))

    def _give_up(self, row: ExperimentRow, worker: str, text: str) -> None:
        with locked(self._core, row.id) as ledger:
            workers.move(ledger.session, worker, Cause.END, ended_at=ledger.now, reason=text)
            ledger.record("worker_ended", {"worker": worker, "reason": text})

    def _too_early(self, row: ExperimentRow) -> bool:
        """Whether starting must wait, since the last workers died at once; pauses where that goes on."""
        first_look = row.id not in self._failures
        seen = self._failures.setdefault(row.id, _Failures())
        now = self._core.clock.monotonic()
        with self._core.store.reading() as session:
            ended = [worker for worker in workers.of_experiment(session, row.id) if worker.state == WorkerState.ENDED]
            ended.sort(key=lambda worker: worker.ended_at)
            fresh, seen.counted = [] if first_look else ended[seen.counted :], len(ended)
            ran = {worker.id for worker in fresh if workers.ran_something(session, worker.id)}
        for worker in fresh:
            # one that ran a trial did start; where the trial killed it, losses are counted at the trial
            useful = worker.succeeded or worker.failed or worker.id in ran or worker.reason is None
            seen.deaths = 0 if useful else seen.deaths + 1
        if fresh and seen.deaths:
            seen.not_before = now + min(0.5 * 2**seen.deaths, 30.0)
        if seen.deaths >= DEATHS_BEFORE_PAUSE:
            text = f"{seen.deaths} workers ended at once; the last one: {fresh[-1].reason if fresh else 'see its log'}"
            seen.deaths = 0
            with locked(self._core, row.id) as ledger:
                ledger.pause(Reason(ReasonCode.WORKERS_FAIL, text))
            return True
        return now < seen.not_before

    def _drain(self, worker: Row[Any]) -> None:
        if worker.state == WorkerState.DRAINING:
            return
        with self._core.store.transaction() as session:
            workers.move(session, worker.id, Cause.DRAIN)
        self._core.signals.notify(f"work:{worker.experiment}")

    def _resize(self, worker: Row[Any], slots: int) -> None:
        with self._core.store.transaction() as session:
            workers.change(session, worker.id, slots=slots)
        self._core.signals.notify(f"work:{worker.experiment}")

    def _say_why(self, row: ExperimentRow, capacity: Capacity, slots: int, holding: Sequence[ExperimentRow]) -> None:
        reason = None
        if slots == 0 and slots_wanted(row) > 0:
            never = fits(capacity, row.specification.resources)
            if never:
                reason = Reason(ReasonCode.NEVER_FITS, never)
            else:
                holders = [other.handle for other in holding if other.id != row.id]
                by = f", held by {', '.join(holders[:3])}" if holders else ""
                text = f"waits for {row.specification.resources}{by}"
                reason = Reason(ReasonCode.WAITING_FOR_RESOURCES, text)
        if reason != row.waiting:
            with locked(self._core, row.id) as ledger:
                ledger.row.waiting = reason


def slots_wanted(row: ExperimentRow) -> int:
    """How many trials of it could run now."""
    if row.ended is not None or row.desired is not Desired.RUNNING:
        return row.live if row.desired is Desired.PAUSED and row.ended is None else 0
    left = max(row.budget - row.finished, 0)
    return min(row.parallelism, left)


def spread(slots: int, processes: int) -> list[int]:
    """Slots over at most so many processes, as even as can be."""
    count = max(min(slots, processes), 1)
    return [slots // count + (index < slots % count) for index in range(count)]
