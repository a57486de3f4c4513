"""Workers of tests: kept warm for the next one, and handed over to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from orchestune.domain.experiment import TEST_LABEL
from orchestune.domain.placement import Placement
from orchestune.domain.resources import Resources
from orchestune.domain.states import ExperimentState, WorkerState
from orchestune.ports.backend import Backend
from orchestune.services.core import Core
from orchestune.store import experiments, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.hot import Present

WARM_SECONDS = 120.0
"""how long the worker of a test that has ended waits for the next one, while nobody waits for its place"""


@dataclass(frozen=True)
class _Kind:
    """What a worker was made for. One of the same kind does for another experiment."""

    owner: str
    principal: str
    each: Resources
    placement: Placement
    root: object
    links: tuple[str, ...]
    grace: float


class Sparing:
    """What `test`, `try` and `shell` start is gone soon, and the place for it is slow to make: a container, a pod,
    perhaps a machine. So a test takes over the worker of another experiment of its owner, of the same image, resources
    and mounts, where one has nothing to do. Silence is counted on this process's own clock.

    What ran in a worker before may read what runs in it next. So the same authenticated principal has to have created
    both experiments, and none that proves nothing hands over a worker: names alone are claims.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._since: dict[str, float] = {}
        """worker → when it was first seen without an experiment that goes on"""

    def keeps(self, backend: Backend, worker: Present, rows: Sequence[ExperimentRow]) -> bool:
        """Whether a worker whose experiment is over stays for now; `rows`: the unfinished experiments of its place."""
        if worker.state == WorkerState.DRAINING and worker.next_experiment in {row.id for row in rows}:
            return True
        if worker.state != WorkerState.ALIVE or not _movable(backend, worker) or any(row.waiting for row in rows):
            return False
        with self._core.store.reading() as session:
            row = experiments.get(session, worker.experiment)
        if not _is_test(row) or not row.principal:
            return False
        if row.state not in (ExperimentState.COMPLETED, ExperimentState.FAILED):
            return False
        now = self._core.clock.monotonic()
        return now - self._since.setdefault(worker.id, now) < WARM_SECONDS

    def hand_over(
        self, backend: Backend, rows: Sequence[ExperimentRow], present: Sequence[Present]
    ) -> tuple[list[Present], list[str]]:
        """Give tests that have no worker yet those that do nothing. Returns the workers as they are to be counted
        from now on, each with the experiment that has it or will have it, and the experiments that have to hear of it.
        """
        here = {worker.id for worker in present}
        self._since = {name: at for name, at in self._since.items() if name in here}
        seen = {worker.id: _as_heirs(worker) for worker in present}
        staffed = {worker.experiment for worker in seen.values()}
        waiting = [row for row in rows if _waits(row) and row.id not in staffed]
        idle = self._idle(backend, list(seen.values()), rows) if waiting else []
        told = []
        for test in waiting:
            kind = _kind(backend, test)
            for worker, made_for in idle:
                if made_for == kind and self._bequeath(worker, test):
                    told.append(worker.experiment)
                    seen[worker.id] = _as_heirs(replace(worker, state=WorkerState.DRAINING, next_experiment=test.id))
                    idle.remove((worker, made_for))
                    break
        return list(seen.values()), told

    def _idle(
        self, backend: Backend, seen: Sequence[Present], rows: Sequence[ExperimentRow]
    ) -> list[tuple[Present, _Kind]]:
        """The workers that could be handed over and have nothing to do, with what each was made for."""
        alive = [worker for worker in seen if worker.state == WorkerState.ALIVE and _movable(backend, worker)]
        known = {row.id: row for row in rows}
        with self._core.store.reading() as session:
            busy = workers.at_work(session, backend.name)
            over = {worker.experiment for worker in alive} - known.keys()
            known |= {row.id: row for row in experiments.of_ids(session, sorted(over))}
        ours = {experiment: row for experiment, row in known.items() if row.principal and not row.leasable}
        kinds = {experiment: _kind(backend, row) for experiment, row in ours.items()}
        free = [worker for worker in alive if worker.id not in busy and worker.experiment in kinds]
        return [(worker, kinds[worker.experiment]) for worker in free]

    def _bequeath(self, worker: Present, test: ExperimentRow) -> bool:
        """The lock of its experiment sees to it that it is given nothing else meanwhile."""
        with self._core.store.transaction() as session:
            experiments.lock(session, worker.experiment)
            idle = worker.id not in workers.at_work(session, test.cluster)
            return idle and workers.bequeath(session, worker.id, test.id)


def _movable(backend: Backend, worker: Present) -> bool:
    """Places where a worker is a container with one slot; where it is a process of the user it starts at once."""
    return backend.slots_per_worker == 1 and worker.slots == 1 and not worker.memory


def _waits(row: ExperimentRow) -> bool:
    return _is_test(row) and bool(row.principal) and row.goes_on and not row.live_attempts


def _is_test(row: ExperimentRow) -> bool:
    return TEST_LABEL in json.loads(row.labels_json)


def _as_heirs(worker: Present) -> Present:
    """A worker that is about to go on with another experiment is one that this experiment has started."""
    if worker.state != WorkerState.DRAINING or worker.next_experiment is None:
        return worker
    return replace(worker, experiment=worker.next_experiment, state=WorkerState.STARTING)


def _kind(backend: Backend, row: ExperimentRow) -> _Kind:
    wanted, launch = row.specification, row.launch
    return _Kind(
        row.owner,
        row.principal or "",
        backend.needs(wanted.resources, launch),
        wanted.placement,
        launch.get("root") if launch.get("links") else None,
        tuple(launch.get("links") or ()),
        wanted.grace,
    )
