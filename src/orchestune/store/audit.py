"""Rows of the audit log, numbered in commit order even with several servers on one database."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, text

from orchestune.domain.access.audit import LASTING, AuditEvent, AuditKind
from orchestune.store.session import Session
from orchestune.store.tables import audit

MAX_ROWS = 100_000  # limit for the kinds in `LASTING` together, and again for all other kinds together
OLDEST_SECONDS = 365 * 24 * 3600.0
_STEP = 200  # rows between two scans for excess rows, which read `MAX_ROWS`; old rows deleted per call
_LOCK = 7_021_601  # arbitrary fixed key of the advisory lock under which PostgreSQL assigns numbers


class AuditRow(Struct, frozen=True, gc=False):
    """A row of `audit`."""

    seq: int
    at: float
    kind: str
    actor: str
    role: str
    address: str
    subject: str
    details: str

    @property
    def parsed_details(self) -> dict[str, str]:
        """Further facts about the event by name."""
        details: dict[str, str] = json.loads(self.details)
        return details


def append(session: Session, events: Sequence[AuditEvent], most: int = MAX_ROWS) -> None:
    """Insert `events`, delete some rows older than `OLDEST_SECONDS`, and every `_STEP` rows those beyond `most`.

    The kinds in `LASTING` share a quota of `most` rows and all other kinds another one, so that a caller who floods the
    log with ordinary events does not evict the lasting ones.
    """
    if session.postgres:  # otherwise a reader's cursor could skip a number whose transaction is still open
        session.connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    rows = [
        {
            "at": event.at,
            "kind": event.kind.value,
            "actor": event.actor,
            "role": event.role,
            "address": event.address,
            "subject": event.subject,
            "details": json.dumps(dict(event.details)),
        }
        for event in events
    ]
    before = end(session)
    if rows:
        session.change(insert(audit).values(rows))
    oldest = select(audit.c.seq).order_by(audit.c.seq).limit(_STEP)
    is_old = audit.c.at < session.now - OLDEST_SECONDS
    session.change(delete(audit).where(audit.c.seq.in_(oldest.scalar_subquery()), is_old))
    if end(session) // _STEP > before // _STEP:
        lasting = [kind.value for kind in LASTING]
        for of_class in (audit.c.kind.in_(lasting), audit.c.kind.not_in(lasting)):
            newest_excess = select(audit.c.seq).where(of_class).order_by(audit.c.seq.desc()).offset(most).limit(1)
            session.change(delete(audit).where(of_class, audit.c.seq <= newest_excess.scalar_subquery()))


def after(session: Session, cursor: int, limit: int) -> list[AuditRow]:
    """Return the first `limit` rows after `cursor`, oldest first."""
    return session.select(select(audit).where(audit.c.seq > cursor).order_by(audit.c.seq).limit(limit), AuditRow)


def newest(session: Session, limit: int, since: float = 0.0) -> list[AuditRow]:
    """Return the last `limit` rows not older than `since`, oldest first."""
    query = select(audit).where(audit.c.at >= since).order_by(audit.c.seq.desc()).limit(limit)
    return session.select(query, AuditRow)[::-1]


def last(session: Session, kind: AuditKind, subject: str) -> AuditRow | None:
    """Return the newest row with this kind and subject, None if absent."""
    query = select(audit).where(audit.c.kind == kind.value, audit.c.subject == subject)
    return session.first(query.order_by(audit.c.seq.desc()).limit(1), AuditRow)


def end(session: Session) -> int:
    """Return the number of the newest row, 0 if the log is empty."""
    return session.first(select(func.coalesce(func.max(audit.c.seq), 0)), int) or 0
