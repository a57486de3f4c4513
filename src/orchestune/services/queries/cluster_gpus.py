"""The GPUs of a cluster and the workers that hold them, as far as known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestune import documents
from orchestune.domain.resources.resources import Resources
from orchestune.domain.resources.survey import MachineAllocation
from orchestune.ports.backend import Backend
from orchestune.store.statements.workers import PolledWorker

MAX_GPUS = 2000
"""limit on listed GPUs"""


@dataclass(frozen=True)
class HeldGpu:
    """The present workers, which may hold GPUs."""

    needs: Mapping[str, Resources]
    """resources of one trial, by experiment"""
    present: Sequence[PolledWorker]
    trials: Mapping[str, Sequence[int]]
    """running trials by worker"""
    handles: Mapping[str, str]


def gpus(backend: Backend, machines: Sequence[MachineAllocation], held: HeldGpu) -> list[documents.Gpu]:
    """Return each GPU with its holders; `holders` is None if the cluster allocates GPUs without saying to whom."""
    gpus = _assigned(backend, held) if backend.assigns_gpus else _counted(machines)
    return gpus[:MAX_GPUS]


def _assigned(backend: Backend, held: HeldGpu) -> list[documents.Gpu]:
    holders: dict[str, list[documents.GpuHolder]] = {}
    for worker in held.present:
        each = held.needs.get(worker.experiment, Resources()).gpu
        holder: documents.GpuHolder = {
            "experiment": held.handles.get(worker.experiment),
            "worker": worker.name,
            "part": min(1.0, each * worker.slots) if 0 < each < 1 else 1.0,
            "trials": list(held.trials.get(worker.id, ())),
        }
        for gpu in worker.assigned_gpus:
            holders.setdefault(gpu, []).append(holder)
    return [
        {
            "machine": machine.name,
            "id": gpu.id,
            "model": gpu.model or None,
            "memory": gpu.memory or None,
            "holders": holders.get(gpu.id, []),
        }
        for machine in backend.capacity().machines
        for gpu in machine.gpus
    ]


def _counted(machines: Sequence[MachineAllocation]) -> list[documents.Gpu]:
    """Return the GPUs of a cluster that reports only totals and allocated counts."""
    return [
        {
            "machine": machine.name,
            "id": str(number),
            "model": machine.has.gpu_type,
            "memory": machine.has.gpu_memory,
            "holders": None if machine.ours.gpu or machine.others is None or machine.others.gpu else [],
        }
        for machine in machines
        for number in range(int(machine.has.gpu))
    ]
