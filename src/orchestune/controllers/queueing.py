"""Places with a queue of their own: what waits there holds nothing, and its turn is not ours to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestune.domain.allocation import Demand, allocate
from orchestune.domain.resources import Capacity
from orchestune.domain.states import WorkerState
from orchestune.ports.backend import Backend, Phase
from orchestune.store.experiments import ExperimentRow
from orchestune.store.hot import Present


def in_queue(backend: Backend, row: ExperimentRow) -> bool:
    """Whether its workers are admitted by a queue of the place."""
    return backend.queues or row.specification.placement.queue is not None


def queued(worker: Present) -> bool:
    """Whether a worker of such an experiment has not been let in yet, as far as anybody knows."""
    return worker.state == WorkerState.STARTING and worker.phase in (None, Phase.QUEUED)


def without_queued(
    backend: Backend, rows: Sequence[ExperimentRow], present: Mapping[str, Sequence[Present]]
) -> Mapping[str, Sequence[Present]]:
    """The workers of each experiment without those that hold nothing yet."""
    waiting = {row.id for row in rows if in_queue(backend, row)}
    return {
        experiment: [worker for worker in found if not queued(worker)] if experiment in waiting else found
        for experiment, found in present.items()
    }


def admitted(workers: Sequence[Present], memory: int) -> int:
    """The slots of so much memory of those that were let in."""
    usable = (WorkerState.STARTING, WorkerState.ALIVE)
    return sum(worker.slots for worker in workers if worker.state in usable and worker.memory == memory)


def share_out(capacity: Capacity, demands: Sequence[Demand], let_in: Mapping[str, int]) -> dict[str, int]:
    """Slots of each demand. Those of `let_in`, which wait in queues and have so many slots already, get what they would
    get without one, so that they may grow whenever the queue lets them; the others get what those do not use now.
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
