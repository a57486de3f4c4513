"""Quarantine of machines on which trials fail that succeed elsewhere; the failed trials are requeued.

The evidence comes from trials, and a user's program can fail wherever it likes. So a quarantine applies to experiments
of the principal whose trials are the evidence, and to all only with evidence from two authenticated principals or from
the server itself. It never closes the last machine that an experiment could use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from orchestune.domain import quarantine
from orchestune.domain.states import Reason, ReasonCode, WorkerState
from orchestune.domain.transitions import Cause
from orchestune.errors import NotFound
from orchestune.services import ownership
from orchestune.services.core import Core
from orchestune.services.ledger import Ledger
from orchestune.services.signals import ACTING, EXPERIMENTS
from orchestune.store import quarantines, workers
from orchestune.store.experiments import ExperimentRow
from orchestune.store.quarantines import Quarantine, QuarantineRow

_EXPERIMENT = "experiment:"
"""Prefix of the principal of an experiment whose owner is only claimed: each such experiment is its own principal."""


def principal(row: ExperimentRow) -> str:
    """Return the principal to which evidence from the experiment's trials is attributed."""
    return row.principal or f"{_EXPERIMENT}{row.id}"


def is_shared(of_machine: Sequence[QuarantineRow]) -> bool:
    """Return True if the quarantines of one machine apply to all principals."""
    principals = {each.principal for each in of_machine}
    authenticated = [each for each in principals if not each.startswith(_EXPERIMENT)]
    return not principals.isdisjoint(("", ownership.LOCAL)) or len(authenticated) > 1


def by_machine(present: Iterable[QuarantineRow]) -> dict[str, list[QuarantineRow]]:
    """Group quarantines by machine, in the given order."""
    machines: dict[str, list[QuarantineRow]] = {}
    for each in present:
        machines.setdefault(each.node, []).append(each)
    return machines


def closed(present: Iterable[QuarantineRow], principal: str, usable: Collection[str] = ()) -> frozenset[str]:
    """Return the machines closed to trials of that principal; `present`: current quarantines, oldest first.

    `usable`: all machines that satisfy the trials' requests. If every one of them is in quarantine, the one that was
    quarantined last stays open.
    """
    nodes = [
        node
        for node, of_machine in by_machine(present).items()
        if is_shared(of_machine) or any(each.principal == principal for each in of_machine)
    ]
    if usable and set(usable) <= set(nodes):
        nodes.remove(next(node for node in reversed(nodes) if node in usable))
    return frozenset(nodes)


def judge(ledger: Ledger, worker: str, tail: str) -> Reason | None:
    """Return the reason that replaces a failure if the worker's machine is to blame; None if the program is."""
    row = workers.get(ledger.session, worker)
    tallies = quarantines.tallies(ledger.session, ledger.row.id)
    if row is None or len(tallies) < 2:  # no other machine to compare with
        return None
    evidence_of, present = principal(ledger.row), quarantines.present(ledger.session, ledger.row.cluster)
    shut = closed(present, evidence_of)
    if row.node in shut:
        [latest] = [each for each in present if each.node == row.node][-1:]
        if row.created_at > latest.at:  # the worker was started there because no other machine was left
            return None
        why: str | None = latest.reason
    else:
        gpus = ledger.row.specification.resources.gpu > 0
        why = quarantine.blame(row.node, tallies, gpus=gpus, tail=tail)
        if not any(tally.succeeded for node, tally in tallies.items() if node != row.node and node not in shut):
            return None
    if why is None:
        return None
    if row.node not in shut:
        until = ledger.now + quarantine.SECONDS
        quarantines.put(ledger.session, ledger.row.cluster, Quarantine(row.node, why, until, evidence_of))
        ledger.record("node_quarantined", {"node": row.node, "reason": why, "cluster": ledger.row.cluster})
    _drain(ledger, row.node)
    return Reason(ReasonCode.NODE_QUARANTINED, f"{row.node} is in quarantine: {why}")


def _drain(ledger: Ledger, node: str) -> None:
    """Drain the experiment's workers on the machine, effective from this call on; `launching` drains the others."""
    for worker in workers.of_experiment(ledger.session, ledger.row.id):
        if worker.node == node and worker.state in (WorkerState.STARTING, WorkerState.ALIVE):
            workers.move(ledger.session, worker.id, Cause.DRAIN)


def lift(core: Core, cluster: str | None, node: str) -> None:
    """Lift the quarantine of a machine. Raises NotFound if it is not in quarantine."""
    name = cluster or core.default_cluster
    with core.store.transaction() as session:
        if not quarantines.lift(session, name, node):
            nodes = ", ".join(sorted(by_machine(quarantines.present(session, name)))) or "none"
            raise NotFound(f"{node} is in no quarantine", f"in quarantine: {nodes}")
    core.signals.notify(ACTING, EXPERIMENTS)
