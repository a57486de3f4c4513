"""Re-check of an existing experiment against its cluster's access policy, which may have become stricter."""

from __future__ import annotations

from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.errors import PolicyRefused
from orchestune.ports.backend import Guard
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.store import changes, workers
from orchestune.store.experiments import ExperimentRow


def refuse(core: Core, row: ExperimentRow) -> None:
    """Raise PolicyRefused if the cluster forbids access that the experiment requests; TemporaryError if unknown."""
    backend = core.backends.get(row.cluster)
    if backend is not None and isinstance(backend, Guard):
        backend.refuse(backend.needs(row.specification.resources, row.launch), row.specification.placement, row.launch)


def withdraw(core: Core, row: ExperimentRow) -> bool:
    """Pause the experiment, requeue its trials and drain its workers if the policy forbids it now. Return True if so.

    Raises TemporaryError if the policy cannot be read. Idempotent; an experiment that has ended is not paused.
    """
    try:
        refuse(core, row)
    except PolicyRefused as refusal:
        with locked(core, row.id) as ledger:
            ledger.pause(Reason(ReasonCode.WORKERS_FAIL, f"no longer allowed by the policy: {refusal}"))
            ledger.session.run(changes.ORDER_LIVE, {"experiment": row.id, "stop_order": "preempted"})
            for worker in workers.of_experiment(ledger.session, row.id):
                if worker.state in (WorkerState.STARTING, WorkerState.ALIVE):
                    workers.drain(ledger.session, worker.id)
        core.signals.notify(f"work:{row.id}")
        return True
    return False
