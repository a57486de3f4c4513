"""Nodes that an experiment's trials must not use because of the quarantines of its cluster.

Evidence comes from trials, and a user's program can fail wherever it likes. So a quarantine applies to experiments of
the principal whose trials are the evidence, and to all only with evidence from two authenticated principals or from the
server itself. It never excludes the last machine that an experiment could use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from orchestune.services import ownership
from orchestune.store.experiments import ExperimentRow
from orchestune.store.quarantines import QuarantineRow

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


def excluded(present: Iterable[QuarantineRow], principal: str, usable: Collection[str] = ()) -> frozenset[str]:
    """Return the machines excluded for trials of that principal; `present`: current quarantines, oldest first.

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
