"""Quarantine of nodes on which trials fail although they succeed on other nodes; the failed trials are requeued."""

from __future__ import annotations

from orchestune.domain.lifecycle.states import Reason, ReasonCode, WorkerState
from orchestune.domain.lifecycle.transitions import Cause
from orchestune.domain.resources import quarantine
from orchestune.errors import NotFound
from orchestune.services import quarantined_nodes
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.services.memory.signals import ACTING, EXPERIMENTS
from orchestune.store import quarantines, workers
from orchestune.store.quarantines import Quarantine


def judge(ledger: Ledger, worker: str, tail: str) -> Reason | None:
    """Return the reason that replaces a failure if the worker's machine is to blame; None if the program is."""
    row = workers.get(ledger.session, worker)
    tallies = quarantines.tallies(ledger.session, ledger.row.id)
    if row is None or len(tallies) < 2:  # no other machine to compare with
        return None
    evidence_of = quarantined_nodes.principal(ledger.row)
    present = quarantines.present(ledger.session, ledger.row.cluster)
    excluded = quarantined_nodes.excluded(present, evidence_of)
    if row.node in excluded:
        [latest] = [each for each in present if each.node == row.node][-1:]
        if row.created_at > latest.at:  # the worker was started there because no other machine was left
            return None
        why: str | None = latest.reason
    else:
        gpus = ledger.row.specification.resources.gpu > 0
        why = quarantine.quarantine_reason(row.node, tallies, gpus=gpus, tail=tail)
        if not any(tally.succeeded for node, tally in tallies.items() if node != row.node and node not in excluded):
            return None
    if why is None:
        return None
    if row.node not in excluded:
        until = ledger.now + quarantine.QUARANTINE_SECONDS
        quarantines.put(ledger.session, ledger.row.cluster, Quarantine(row.node, why, until, evidence_of))
        ledger.record("node_quarantined", {"node": row.node, "reason": why, "cluster": ledger.row.cluster})
    _drain(ledger, row.node)
    return Reason(ReasonCode.NODE_QUARANTINED, f"{row.node} is in quarantine: {why}")


def _drain(ledger: Ledger, node: str) -> None:
    """Drain the experiment's workers on the machine from this call on; `worker_scaling` drains the others."""
    for worker in workers.of_experiment(ledger.session, ledger.row.id):
        if worker.node == node and worker.state in (WorkerState.STARTING, WorkerState.ALIVE):
            workers.move(ledger.session, worker.id, Cause.DRAIN)


def lift(core: Core, cluster: str | None, node: str) -> None:
    """Lift the quarantine of a machine. Raises NotFound if it is not in quarantine."""
    name = cluster or core.default_cluster
    with core.store.transaction() as session:
        if not quarantines.lift(session, name, node):
            nodes = ", ".join(sorted(quarantined_nodes.by_machine(quarantines.present(session, name)))) or "none"
            raise NotFound(f"{node} is not in quarantine", f"in quarantine: {nodes}")
    core.signals.notify(ACTING, EXPERIMENTS)
