"""Clusters with their own queue: a queued worker holds no resources, and the cluster decides when to admit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestune.domain.lifecycle.states import WorkerState
from orchestune.domain.resources.allocation import Demand, allocate
from orchestune.domain.resources.resources import Capacity
from orchestune.ports.backend import Backend, Phase
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.workers import PolledWorker


def in_queue(backend: Backend, row: ExperimentRow) -> bool:
    """Return True if a queue of the cluster admits the experiment's workers."""
    return backend.queues or row.specification.placement.queue is not None


def queued(worker: PolledWorker) -> bool:
    """Return True if a worker of such an experiment is not known to have been admitted yet."""
    return worker.state == WorkerState.STARTING and worker.phase in (None, Phase.QUEUED)


def without_queued(
    backend: Backend, rows: Sequence[ExperimentRow], present: Mapping[str, Sequence[PolledWorker]]
) -> Mapping[str, Sequence[PolledWorker]]:
    """Return the workers of each experiment without those still queued."""
    queueing = {row.id for row in rows if in_queue(backend, row)}
    return {
        experiment: [worker for worker in assigned if not queued(worker)] if experiment in queueing else assigned
        for experiment, assigned in present.items()
    }


def admitted(workers: Sequence[PolledWorker], memory: int) -> int:
    """Return the number of slots with this memory of the admitted workers."""
    usable = (WorkerState.STARTING, WorkerState.ALIVE)
    return sum(worker.slots for worker in workers if worker.state in usable and worker.memory == memory)


def share_out(capacity: Capacity, demands: Sequence[Demand], let_in: Mapping[str, int]) -> dict[str, int]:
    """Return the slots of each demand; `let_in` maps the key of a demand that waits in a queue to its admitted slots.

    Those demands get what they would get without a queue, so that they can grow whenever it admits more. The others get
    what these do not use now.
    """
    granted = allocate(capacity, demands)
    if not let_in or len(let_in) == len(demands):
        return granted
    used = [
        replace(demand, slots=min(let_in[demand.experiment], granted[demand.experiment]))
        if demand.experiment in let_in
        else demand
        for demand in demands
    ]
    return {**allocate(capacity, used), **{key: granted[key] for key in let_in}}
