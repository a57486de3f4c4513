"""Rows of quarantined nodes, which get no trials until the quarantine expires."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, and_, delete, func, insert, select

from orchestune.domain.resources.quarantine import QUARANTINE_SECONDS, NodeOutcomes
from orchestune.store.session import Session
from orchestune.store.tables import quarantines, workers


class Quarantine(Struct, frozen=True, gc=False):
    """A quarantined node, with the reason and the time at which the quarantine expires."""

    node: str
    reason: str
    until: float
    principal: str = ""
    """owner of the experiments that are the evidence; empty: the server itself detected that the node is broken"""


class QuarantineRow(Struct, frozen=True, gc=False):
    """A row of `quarantines`."""

    cluster: str
    node: str
    principal: str
    reason: str
    at: float
    until: float


class _TallyRow(Struct, frozen=True, gc=False):
    node: str
    succeeded: int
    failed: int


def put(session: Session, cluster: str, quarantine: Quarantine) -> None:
    """Store a quarantine, replacing one of the same node and principal."""
    same = (_of_machine(cluster, quarantine.node), quarantines.c.principal == quarantine.principal)
    session.change(delete(quarantines).where(*same))
    session.change(insert(quarantines).values(cluster=cluster, at=session.now, **asdict(quarantine)))


def lift(session: Session, cluster: str, node: str) -> bool:
    """Delete all quarantines of a node. Return False if there is none."""
    return bool(session.change(delete(quarantines).where(_of_machine(cluster, node))))


def _of_machine(cluster: str, node: str) -> ColumnElement[bool]:
    return and_(quarantines.c.cluster == cluster, quarantines.c.node == node)


def present(session: Session, cluster: str) -> list[QuarantineRow]:
    """Return the active quarantines, oldest first.

    One that would last much longer than possible was recorded before the clock jumped back, and is left out.
    """
    farthest = session.now + 2 * QUARANTINE_SECONDS
    query = select(quarantines).where(quarantines.c.cluster == cluster)
    query = query.where(quarantines.c.until.between(session.now, farthest))
    return session.select(query.order_by(quarantines.c.at, quarantines.c.node), QuarantineRow)


def recent(session: Session, cluster: str, most: int) -> list[QuarantineRow]:
    """Return up to `most` newest quarantines, active or expired."""
    query = select(quarantines).where(quarantines.c.cluster == cluster).order_by(quarantines.c.at.desc())
    return session.select(query.limit(most), QuarantineRow)


def tallies(session: Session, experiment: str) -> dict[str, NodeOutcomes]:
    """Return the numbers of succeeded and failed attempts of an experiment by node, from its workers' counters."""
    succeeded, failed = func.sum(workers.c.succeeded).label("succeeded"), func.sum(workers.c.failed).label("failed")
    query = select(workers.c.node, succeeded, failed)
    query = query.where(workers.c.experiment == experiment, workers.c.node != "").group_by(workers.c.node)
    return {row.node: NodeOutcomes(row.succeeded, row.failed) for row in session.select(query, _TallyRow)}
