"""Cluster view: the machines, their usage by experiment, and why experiments are pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from orchestune import documents
from orchestune.domain.resources.more_memory import sized
from orchestune.domain.resources.resources import Resources
from orchestune.domain.resources.survey import MachineAllocation
from orchestune.errors import NotFound
from orchestune.ports.backend import Backend, Surveyor
from orchestune.ports.clock import rfc3339
from orchestune.services import cluster_teardown, quarantined_nodes
from orchestune.services.core import Core
from orchestune.services.ownership import is_authenticated
from orchestune.services.queries.cluster_events import recent
from orchestune.services.queries.cluster_gpus import HeldGpu, gpus
from orchestune.services.queries.trial_resources import allocated
from orchestune.store import experiment_lists, quarantines, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.quarantines import QuarantineRow
from orchestune.store.statements.workers import PolledWorker
from orchestune.store.workers import PRESENT


def cluster(core: Core, name: str | None = None) -> documents.Cluster:
    """Return the view of one cluster, by default the server's default cluster. Raises NotFound if it is unknown."""
    chosen = name or core.default_cluster
    backend = core.backends.get(chosen)
    if backend is None:
        raise NotFound(f"this server has no cluster '{chosen}'", f"it has {', '.join(sorted(core.backends))}")
    with core.store.reading() as session:
        quarantined = quarantined_nodes.by_machine(quarantines.present(session, chosen))
        rows = experiment_lists.readable(row for row in experiment_lists.unfinished(session) if row.cluster == chosen)
        present = [worker for worker in workers.present(session, chosen) if worker.state in PRESENT]
        handles = {row.id: row.handle for row in rows}
        trials = workers.trials_of(session, chosen)
        events = recent(session, chosen)
    needs = {row.id: allocated(backend, row) for row in rows}
    surveyed = machines(backend, needs, present)
    return {
        "schema": 1,
        "cluster": chosen,
        "clusters": sorted(core.backends),
        "elastic": backend.capacity().elastic and not backend.queues,
        "machines": [_with_quarantine(machine, quarantined).to_json() for machine in surveyed],
        "gpus": gpus(backend, surveyed, HeldGpu(needs, present, trials, handles)),
        "quarantined": [
            {"node": node, "reason": of_machine[-1].reason, "until": rfc3339(of_machine[-1].until)}
            for node, of_machine in sorted(quarantined.items())
        ],
        "events": events,
        "notes": list(backend.notes()) if isinstance(backend, Surveyor) else [],
        "retirement": cluster_teardown.document(core),
        "experiments": [_experiment(core, row, needs[row.id], present) for row in rows],
    }


def _with_quarantine(
    machine: MachineAllocation, quarantined: Mapping[str, Sequence[QuarantineRow]]
) -> MachineAllocation:
    if machine.name not in quarantined:
        return machine
    latest = quarantined[machine.name][-1]
    until = datetime.fromtimestamp(latest.until, UTC)
    for_whom = "" if quarantined_nodes.is_shared(quarantined[machine.name]) else " for the experiments of one user"
    text = f"in quarantine{for_whom} until {until:%Y-%m-%d %H:%M} UTC: {latest.reason}"
    return replace(machine, trouble="; ".join(filter(None, (machine.trouble, text))))


def machines(
    backend: Backend, needs: dict[str, Resources], present: Sequence[PolledWorker]
) -> Sequence[MachineAllocation]:
    """Return the backend's survey; for a backend without one, its capacity and the resources held by our workers."""
    if isinstance(backend, Surveyor):
        return backend.survey()
    capacity = backend.capacity().machines
    return [
        MachineAllocation(
            machine.name,
            machine.pool,
            Resources(machine.cpu, machine.memory, len(machine.gpus)),
            _held(needs, [worker for worker in present if len(capacity) == 1 or worker.node == machine.name]),
            None,
        )
        for machine in capacity
    ]


def _held(needs: dict[str, Resources], present: Sequence[PolledWorker]) -> Resources:
    cpu, memory, gpu = 0.0, 0, 0.0
    for worker in present:
        all_of_it = sized(needs.get(worker.experiment, Resources()), worker.memory).times(worker.slots)
        cpu, memory, gpu = cpu + (all_of_it.cpu or 0), memory + (all_of_it.memory or 0), gpu + all_of_it.gpu
    return Resources(cpu, memory, gpu)


def _experiment(
    core: Core, row: ExperimentRow, each: Resources, present: Sequence[PolledWorker]
) -> documents.ClusterExperiment:
    reason = row.waiting or row.reason
    return {
        "id": row.id,
        "handle": row.handle,
        "name": row.name,
        "owner": row.owner,
        "owner_authenticated": is_authenticated(core, row),
        "state": row.state,
        "desired": row.desired,
        "running": row.running,
        "parallelism": row.parallelism,
        "each": each.to_json(),
        "workers": sum(worker.experiment == row.id for worker in present),
        "pending": row.pending_folds,
        "waiting": reason.message if reason else None,
    }
