"""Why an experiment has fewer workers than its `parallelism`, as text for users: the same on every backend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestune.controllers.cluster_queues import in_queue
from orchestune.controllers.worker_starter import ScalingTarget
from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.domain.resources.allocation import AvailableSlots, FreeMachine
from orchestune.domain.resources.gpus import GpuSet
from orchestune.domain.resources.resources import Resources, fits
from orchestune.domain.resources.shortage import OTHERS, NodeUse, shortage
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.workers import PolledWorker


@dataclass(frozen=True)
class Holdings:
    """The resources that workers of one cluster hold during one tick."""

    rows: Sequence[ExperimentRow]
    sizes: Mapping[str, Callable[[int], Resources]]
    """experiment → resources of a trial by its memory; without those that reserve nothing"""
    workers: Mapping[str, Sequence[PolledWorker]]
    """experiment → its workers that hold resources"""

    @cached_property
    def _by_owner_and_node(self) -> Mapping[tuple[str, str], Resources]:
        held: dict[tuple[str, str], Resources] = {}
        for row in (row for row in self.rows if row.id in self.sizes):
            for worker in self.workers.get(row.id, ()):
                key = row.owner, worker.node
                held[key] = _plus(held.get(key), self.sizes[row.id](worker.memory).times(worker.slots))
        return held

    def by_owner(self, elsewhere: Collection[str]) -> dict[str, Resources]:
        """Return what each user holds, without what is known to be on the nodes `elsewhere`."""
        held: dict[str, Resources] = {}
        for (owner, node), amount in self._by_owner_and_node.items():
            if node not in elsewhere:
                held[owner] = _plus(held.get(owner), amount)
        return held


def pending_reason(
    target: ScalingTarget,
    needed: int,
    slots: int,
    mine: Sequence[PolledWorker],
    holding: Sequence[ExperimentRow],
    lack: Callable[[ScalingTarget], str],
) -> Reason | None:
    """Return why the group has fewer than `needed` workers at work, None if it has enough.

    `slots`: those that it has or can get now; `mine`: its workers; `holding`: the experiments that hold resources;
    `lack`: returns which resources one more worker lacks.
    """
    if slots == 0 and needed > 0:
        return _without_any(target, holding)
    if slots < needed and not target.capacity.elastic and not in_queue(target.backend, target.row):
        lacking = lack(target)
        if lacking:
            text = f"{slots} of {needed} run: each {lacking}{_quarantine(target)}"
            return Reason(ReasonCode.WAITING_FOR_RESOURCES, text)
    starting = [worker for worker in mine if worker.state == WorkerState.STARTING and worker.reason]
    if needed == 0 or not starting:
        return None
    running = sum(worker.slots for worker in mine if worker.state == WorkerState.ALIVE)
    prefix = f"{running} of {needed} run: " if running else ""
    text = f"{prefix}worker {starting[0].name} waits: {starting[0].reason}"
    return Reason(ReasonCode.WAITING_FOR_RESOURCES, text)


def lack_of(target: ScalingTarget, available: AvailableSlots, free_gpus: GpuSet, holdings: Holdings) -> str:
    """Return which resources one more trial lacks, and who holds them; empty if no single resource explains it.

    `free_gpus`: the free GPUs of a backend whose GPUs the server assigns.
    """
    each, backend = target.group.per_trial, target.backend
    machines = available.on(target.machines)
    uses = [_use(free, each, free_gpus if backend.assigns_gpus else free.gpus) for free in machines]
    held = holdings.by_owner({machine.name for machine in target.capacity.machines}.difference(target.machines))
    for free in machines:
        held[OTHERS] = _plus(held.get(OTHERS), free.machine.lent)
    return shortage(each, uses, held)


def _use(free: FreeMachine, each: Resources, gpus: GpuSet) -> NodeUse:
    gpu = gpus.available(each.gpu_request)
    total = Resources(free.machine.whole.cpu, free.machine.whole.memory, free.machine.suitable(each))
    return NodeUse(free.machine.name, total, Resources(max(free.cpu, 0.0), int(max(free.memory, 0)), gpu))


def _without_any(target: ScalingTarget, holding: Sequence[ExperimentRow]) -> Reason:
    misfit = fits(target.capacity, target.group.per_trial, target.pool, target.excluded)
    if misfit and not target.capacity.quarantined:
        return Reason(ReasonCode.NEVER_FITS, misfit)
    holders = [other.handle for other in holding if other.id != target.row.id]
    by = f", held by {', '.join(holders[:3])}" if holders else ""
    text = f"waits for {target.group.per_trial}{by}{_quarantine(target)}"
    return Reason(ReasonCode.WAITING_FOR_RESOURCES, text)


def _quarantine(target: ScalingTarget) -> str:
    quarantined = target.capacity.quarantined
    return f"; in quarantine: {', '.join(sorted(quarantined))}" if quarantined else ""


def _plus(one: Resources | None, other: Resources) -> Resources:
    if one is None:
        return Resources(other.cpu or 0.0, other.memory or 0, other.gpu)
    return Resources(
        (one.cpu or 0.0) + (other.cpu or 0.0), (one.memory or 0) + (other.memory or 0), one.gpu + other.gpu
    )
