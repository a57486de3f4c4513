"""Warm worker pool: keeps the workers of tests (ephemeral runs) and hands them over to the next test.

Idea: a handover is a drain with a successor. The worker's row gets `next_experiment` and the state `draining`; its next
call tells it to register again, for the other experiment. Until then it counts as a starting worker of that experiment
(`_as_reassigned`), so that `worker_scaling` neither starts a second one nor drains it.

Invariants: only containers with one slot and the request of the file move; owner, principal, image, resources, mounts
and grace have to be equal (`_WorkerKind`), because none of them can change in a running container.

Race: the worker may lease a trial while it is handed over. The lock on its experiment decides, which leasing takes too:
`_hand_over` looks for live attempts again under it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from orchestune.domain.lifecycle.states import ExperimentState, WorkerState
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.ports.backend import Backend
from orchestune.services.core import Core
from orchestune.store import experiment_lists, experiments, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.workers import PolledWorker

WARM_SECONDS = 120.0
"""timeout for which the worker of a finished test is kept, while no experiment is pending for its resources"""


@dataclass(frozen=True)
class _WorkerKind:
    """The properties a worker was created with. Experiments of an equal kind can take it over."""

    owner: str
    principal: str
    request: Resources
    placement: Placement
    root: object
    links: tuple[str, ...]
    grace: float


class WarmPool:
    """Hands idle workers over to runs of `test`, `try` and `shell`, which are short.

    Their own workers would start slowly: a container, a pod, perhaps a node. So a test takes over an idle worker of
    another experiment of its owner with the same image, resources and mounts. Time is measured on this process's own
    clock.

    Code that ran in a worker before may read what runs in it next. So both experiments must have been created by the
    same authenticated principal. Unauthenticated owners hand over no worker: a name alone is only a claim.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._since: dict[str, float] = {}
        """worker → when its experiment was first seen finished"""

    def keeps(self, backend: Backend, worker: PolledWorker, rows: Sequence[ExperimentRow]) -> bool:
        """Return True if the worker of a finished experiment is kept; `rows`: the cluster's unfinished experiments."""
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
        self, backend: Backend, rows: Sequence[ExperimentRow], present: Sequence[PolledWorker]
    ) -> tuple[list[PolledWorker], list[str]]:
        """Hand idle workers over to tests without a worker.

        Returns all workers, each with the experiment that has it or takes it over, and the experiments whose workers
        must be notified.
        """
        ids = {worker.id for worker in present}
        self._since = {name: at for name, at in self._since.items() if name in ids}
        by_id = {worker.id: _as_reassigned(worker) for worker in present}
        with_workers = {worker.experiment for worker in by_id.values()}
        tests = [row for row in rows if _waits(row) and row.id not in with_workers]
        idle = self._idle(backend, list(by_id.values()), rows) if tests else []
        notified = []
        for test in tests:
            kind = _kind(backend, test)
            for worker, made_for in idle:
                if made_for == kind and self._hand_over(worker, test):
                    notified.append(worker.experiment)
                    by_id[worker.id] = _as_reassigned(
                        replace(worker, state=WorkerState.DRAINING, next_experiment=test.id)
                    )
                    idle.remove((worker, made_for))
                    break
        return list(by_id.values()), notified

    def _idle(
        self, backend: Backend, present: Sequence[PolledWorker], rows: Sequence[ExperimentRow]
    ) -> list[tuple[PolledWorker, _WorkerKind]]:
        """Return the idle workers that can be handed over, each with its kind."""
        alive = [worker for worker in present if worker.state == WorkerState.ALIVE and _movable(backend, worker)]
        by_id = {row.id: row for row in rows}
        with self._core.store.reading() as session:
            busy = workers.live_attempts(session, backend.name)
            over = {worker.experiment for worker in alive} - by_id.keys()
            by_id |= {row.id: row for row in experiment_lists.of_ids(session, sorted(over))}
        ours = {experiment: row for experiment, row in by_id.items() if row.principal and not row.leasable}
        kinds = {experiment: _kind(backend, row) for experiment, row in ours.items()}
        free = [worker for worker in alive if worker.id not in busy and worker.experiment in kinds]
        return [(worker, kinds[worker.experiment]) for worker in free]

    def _hand_over(self, worker: PolledWorker, test: ExperimentRow) -> bool:
        """Hand the worker over if it is idle. The lock on its experiment keeps it from leasing a trial meanwhile."""
        with self._core.store.transaction() as session:
            experiments.lock(session, worker.experiment)
            idle = worker.id not in workers.live_attempts(session, test.cluster)
            return idle and workers.hand_over(session, worker.id, test.id)


def _movable(backend: Backend, worker: PolledWorker) -> bool:
    """Return True if the worker is a container with one slot. Workers that are plain processes start fast anyway."""
    return backend.slots_per_worker == 1 and worker.slots == 1 and not worker.memory


def _waits(row: ExperimentRow) -> bool:
    return _is_test(row) and bool(row.principal) and row.can_start_trials and not row.live_attempts


def _is_test(row: ExperimentRow) -> bool:
    return TEST_LABEL in json.loads(row.labels_json)


def _as_reassigned(worker: PolledWorker) -> PolledWorker:
    """Return a worker that is being handed over as a starting worker of the experiment that takes it over."""
    if worker.state != WorkerState.DRAINING or worker.next_experiment is None:
        return worker
    return replace(worker, experiment=worker.next_experiment, state=WorkerState.STARTING)


def _kind(backend: Backend, row: ExperimentRow) -> _WorkerKind:
    specification, launch = row.specification, row.launch
    return _WorkerKind(
        row.owner,
        row.principal or "",
        backend.needs(specification.resources, launch),
        specification.placement,
        launch.get("root") if launch.get("links") else None,
        tuple(launch.get("links") or ()),
        specification.grace,
    )
