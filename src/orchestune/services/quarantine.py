"""Failures that are the machine's: offered again elsewhere, and the machine gets no trials for a while."""

from __future__ import annotations

from orchestune.domain import quarantine
from orchestune.domain.states import Reason, ReasonCode, WorkerState
from orchestune.domain.transitions import Cause
from orchestune.errors import NotFound
from orchestune.services.core import Core
from orchestune.services.ledger import Ledger
from orchestune.services.signals import ACTING, EXPERIMENTS
from orchestune.store import quarantines, workers
from orchestune.store.quarantines import Quarantine


def judge(ledger: Ledger, worker: str, tail: str) -> Reason | None:
    """What to say in the place of a failure on this worker's machine; None where the failure is the model's."""
    row = workers.get(ledger.session, worker)
    tallies = quarantines.tallies(ledger.session, ledger.row.id)
    if row is None or len(tallies) < 2:  # nothing to compare it with
        return None
    known = [found for found in quarantines.present(ledger.session, ledger.row.cluster) if found.node == row.node]
    gpus = ledger.row.specification.resources.gpu > 0
    why = known[0].reason if known else quarantine.blame(row.node, tallies, gpus=gpus, tail=tail)
    if why is None:
        return None
    if not known:
        found = Quarantine(row.node, why, ledger.now + quarantine.SECONDS)
        quarantines.put(ledger.session, ledger.row.cluster, found)
        ledger.record("node_quarantined", {"node": row.node, "reason": why, "cluster": ledger.row.cluster})
    _drain(ledger, row.node)
    return Reason(ReasonCode.NODE_QUARANTINED, f"{row.node} is in quarantine: {why}")


def _drain(ledger: Ledger, node: str) -> None:
    """Nothing more for this experiment on that machine, from this very call on; `launching` looks after the others."""
    for worker in workers.of_experiment(ledger.session, ledger.row.id):
        if worker.node == node and worker.state in (WorkerState.STARTING, WorkerState.ALIVE):
            workers.move(ledger.session, worker.id, Cause.DRAIN)


def lift(core: Core, cluster: str | None, node: str) -> None:
    """Let a machine get trials again. NotFound where it is in no quarantine."""
    name = cluster or core.default_cluster
    with core.store.transaction() as session:
        if not quarantines.lift(session, name, node):
            nodes = ", ".join(found.node for found in quarantines.present(session, name)) or "none"
            raise NotFound(f"{node} is in no quarantine", f"in quarantine: {nodes}")
    core.signals.notify(ACTING, EXPERIMENTS)
