"""Gives experiments their workers: as many as they can use and the place has room for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestune.controllers.parts import Part, memory_after, parts, unfinished
from orchestune.domain.allocation import Demand, Room, allocate, usable
from orchestune.domain.more_memory import sized
from orchestune.domain.resources import Capacity, Resources, fits
from orchestune.domain.states import Desired, Reason, ReasonCode, WorkerState
from orchestune.domain.transitions import Cause
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.backend import Backend, WorkerOrder
from orchestune.ports.clock import new_id
from orchestune.services.core import Core
from orchestune.services.ledger import locked
from orchestune.services.signatures import worker_token
from orchestune.store import experiments, quarantines, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.workers import Present

log = logging.getLogger(__name__)

_USABLE = (WorkerState.STARTING, WorkerState.ALIVE)
DEATHS_BEFORE_PAUSE = 5
"""workers in a row that ended without having run anything"""
MOST_PENDING = 10
"""workers of one experiment that may wait for machines to come, where the place does not say how many it has"""


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
        self._told: set[str] = set()
        """experiments with workers that have to hear of a change"""

    def tick(self) -> None:
        """Bring every cluster's workers to where they should be."""
        with self._core.store.reading() as session:
            rows = experiments.unfinished(session)
            present = {name: list(workers.present(session, name)) for name in self._core.backends}
            shut = {name: quarantines.present(session, name) for name in self._core.backends if present[name] or rows}
        for name, backend in self._core.backends.items():
            mine = [row for row in rows if row.cluster == name]
            if mine or present[name]:
                nodes = frozenset(quarantine.node for quarantine in shut[name])
                self._cluster(backend, mine, present[name], nodes)
        if self._told:
            self._core.signals.notify(*(f"work:{experiment}" for experiment in self._told))
            self._told.clear()

    def _cluster(
        self, backend: Backend, rows: Sequence[ExperimentRow], present: Sequence[Present], shut: frozenset[str]
    ) -> None:
        capacity = backend.capacity().without(shut)
        for worker in present:
            if worker.node in shut:
                self._drain(worker)
        present = [worker for worker in present if worker.node not in shut or worker.state not in _USABLE]
        by_experiment: dict[str, list[Present]] = {}
        for worker in present:
            if worker.state != WorkerState.LOST:
                by_experiment.setdefault(worker.experiment, []).append(worker)
        needs = {row.id: backend.needs(row.specification.resources) for row in rows}
        with self._core.store.reading() as session:
            wanted = {row.id: parts(session, row, needs[row.id], slots_wanted(row)) for row in rows}
        granted = allocate(capacity, [_demand(row, part) for row in rows for part in wanted[row.id]])
        taken = {device for worker in present for device in (json.loads(worker.gpus) if worker.gpus else ())}
        free = [device for device in capacity.gpus if device not in taken]
        room = self._room(backend, capacity, needs, by_experiment)
        holding = [row for row in rows if row.running or any(granted[part.key] for part in wanted[row.id])]
        for row in rows:
            why, everyone, left = None, by_experiment.get(row.id, []), slots_wanted(row)
            for part in wanted[row.id]:
                give = min(granted[part.key], left)
                mine = [worker for worker in everyone if worker.memory == part.memory]
                have = sum(worker.slots for worker in mine if worker.state in _USABLE)
                machines = usable(capacity, part.each, row.specification.placement.pool)
                names = [machine.name for machine in machines]
                missing = room.fit(part.each, max(give - have, 0), names)
                if capacity.elastic:
                    starting = sum(worker.state == WorkerState.STARTING for worker in mine)
                    missing = min(missing, max(MOST_PENDING - starting, 0))
                why = why or self._why(row, capacity, part, min(part.slots, left), have + missing, mine, holding)
                room.take(part.each, missing)
                self._experiment(backend, capacity, row, part, mine, min(give, have + missing), free)
                left -= give
            self._say(row, why)
            for worker in everyone:
                if worker.memory not in {part.memory for part in wanted[row.id]}:
                    self._drain(worker)  # the trials for which it was started are over
        for experiment in by_experiment.keys() - {row.id for row in rows}:
            for worker in by_experiment[experiment]:
                self._drain(worker)

    def _room(
        self,
        backend: Backend,
        capacity: Capacity,
        needs: Mapping[str, Resources],
        by_experiment: Mapping[str, Sequence[Present]],
    ) -> Room:
        """What nobody holds: a trial that ends on a draining worker, or beyond its new slots, needs its place still."""
        room = Room(capacity)
        limited = {experiment: each for experiment, each in needs.items() if each.cpu or each.memory}
        if limited:
            with self._core.store.reading() as session:
                busy = workers.at_work(session, backend.name)
            for experiment, each in limited.items():
                for worker in by_experiment.get(experiment, ()):
                    slots = worker.slots if worker.state in _USABLE else 0
                    room.take(sized(each, worker.memory), max(slots, busy.get(worker.id, 0)), worker.node)
        return room

    def _experiment(
        self,
        backend: Backend,
        capacity: Capacity,
        row: ExperimentRow,
        part: Part,
        mine: Sequence[Present],
        slots: int,
        free: list[str],
    ) -> None:
        present = [worker for worker in mine if worker.state in _USABLE]
        for worker in present:
            if worker.state == WorkerState.STARTING and worker.handle is None:  # never, or nobody knows
                gpus = tuple(json.loads(worker.gpus or "[]"))
                self._hand_over(backend, capacity, row, part, worker.id, worker.slots, gpus)
        have = sum(worker.slots for worker in present)
        if have > slots:
            for worker in reversed(present):
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
            self._grow(backend, capacity, row, part, missing, present, free)

    def _grow(
        self,
        backend: Backend,
        capacity: Capacity,
        row: ExperimentRow,
        part: Part,
        missing: int,
        present: Sequence[Present],
        free: list[str],
    ) -> None:
        gpu = row.specification.resources.gpu
        if gpu and backend.assigns_gpus:
            for _ in range(min(missing, len(free) // gpu)):
                self._start(backend, capacity, row, part, 1, tuple(free[:gpu]))
                del free[:gpu]
            return
        if backend.slots_per_worker is not None:
            for _ in range(-(-missing // backend.slots_per_worker)):
                self._start(backend, capacity, row, part, backend.slots_per_worker, ())
            return
        cores = int(sum(machine.cpu for machine in capacity.machines))
        room = max(cores, 1) - len(present)  # one process per core, with as many slots as it takes
        if room <= 0:
            self._resize(present[-1], present[-1].slots + missing)
            return
        for slots in spread(missing, room):
            self._start(backend, capacity, row, part, slots, ())

    def _start(
        self, backend: Backend, capacity: Capacity, row: ExperimentRow, part: Part, slots: int, gpus: tuple[str, ...]
    ) -> None:
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
                "memory": part.memory,
                "memory_next": memory_after(capacity, row, part),
                "gpus": json.dumps(gpus) if gpus else None,
                "created_at": ledger.now,
            }
            workers.add(ledger.session, values)
        self._hand_over(backend, capacity, row, part, worker, slots, gpus)

    def _hand_over(
        self,
        backend: Backend,
        capacity: Capacity,
        row: ExperimentRow,
        part: Part,
        worker: str,
        slots: int,
        gpus: tuple[str, ...],
    ) -> None:
        """Let the backend start a worker whose row is there; the same one twice is one."""
        specification, each = row.specification, part.each
        order = WorkerOrder(
            worker,
            row.id,
            worker_token(self._core, worker, row.id),
            slots,
            gpus,
            row.launch,
            each,
            specification.placement,
            row.handle,
            row.owner,
            _avoided(capacity, each, specification.placement.pool),
            specification.grace,
        )
        try:
            handle = backend.start(order)
        except TemporaryError as error:  # the next tick tries again: the row is there, and without a handle
            log.warning("%s: a worker could not be started: %s", row.handle, error)
            with self._core.store.transaction() as session:
                workers.change(session, worker, reason=str(error))
        except OrchestuneError as error:
            self._give_up(row, worker, str(error))
            with locked(self._core, row.id) as ledger:
                ledger.pause(Reason(ReasonCode.WORKERS_FAIL, f"no worker can be started: {error}"))
        else:
            with self._core.store.transaction() as session:
                workers.change(session, worker, handle=json.dumps(dict(handle)), reason=None)

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

    def _drain(self, worker: Present) -> None:
        if worker.state == WorkerState.DRAINING:
            return
        with self._core.store.transaction() as session:
            workers.move(session, worker.id, Cause.DRAIN)
        self._told.add(worker.experiment)

    def _resize(self, worker: Present, slots: int) -> None:
        with self._core.store.transaction() as session:
            workers.change(session, worker.id, slots=slots)
        self._told.add(worker.experiment)

    def _why(
        self,
        row: ExperimentRow,
        capacity: Capacity,
        part: Part,
        wanted: int,
        slots: int,
        mine: Sequence[Present],
        holding: Sequence[ExperimentRow],
    ) -> Reason | None:
        """Why nothing of that part moves although it should."""
        each = part.each
        if slots == 0 and wanted > 0:
            never = fits(capacity, each, row.specification.placement.pool)
            holders = [other.handle for other in holding if other.id != row.id]
            by = f", held by {', '.join(holders[:3])}" if holders else ""
            if never and capacity.shut:
                never, by = None, f"; in quarantine: {', '.join(sorted(capacity.shut))}"
            if never:
                return Reason(ReasonCode.NEVER_FITS, never)
            return Reason(ReasonCode.WAITING_FOR_RESOURCES, f"waits for {each}{by}")
        if wanted > 0 and not any(worker.state == WorkerState.ALIVE for worker in mine):
            waits = [worker for worker in mine if worker.state == WorkerState.STARTING and worker.reason]
            if waits:
                text = f"worker {waits[0].name} waits: {waits[0].reason}"
                return Reason(ReasonCode.WAITING_FOR_RESOURCES, text)
        return None

    def _say(self, row: ExperimentRow, reason: Reason | None) -> None:
        if reason != row.waiting:
            with locked(self._core, row.id) as ledger:
                ledger.row.waiting = reason


def _demand(row: ExperimentRow, part: Part) -> Demand:
    return Demand(part.key, part.slots, part.each, row.owner, row.specification.placement.pool)


def _avoided(capacity: Capacity, each: Resources, pool: str | None) -> frozenset[str]:
    """Machines that have room for such a trial and are kept for others."""
    allowed = {machine.name for machine in usable(capacity, each, pool)}
    kept = {machine.name for machine in capacity.machines if machine.whole.gpu and machine.name not in allowed}
    return capacity.shut | kept


def slots_wanted(row: ExperimentRow) -> int:
    """How many attempts of it could run now."""
    if row.ended is not None or row.desired is not Desired.RUNNING:
        return row.live if row.desired is Desired.PAUSED and row.ended is None else 0
    return min(row.parallelism, unfinished(row))


def spread(slots: int, processes: int) -> list[int]:
    """Slots over at most so many processes, as even as can be."""
    count = max(min(slots, processes), 1)
    return [slots // count + (index < slots % count) for index in range(count)]
