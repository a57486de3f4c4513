"""Rows of messages that are still to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from orchestune.store.session import Session
from orchestune.store.tables import events, notices

SERVER = "server"
"""in the place of a hook's number: the server's own"""


@dataclass(frozen=True)
class Notice:
    """A message to one hook, in the order of the table's columns."""

    experiment: str
    seq: int
    kind: str
    hook: str
    data: str
    at: float
    tries: int
    next_at: float

    @property
    def identity(self) -> str:
        """The same at each try, and no other message's."""
        return f"{self.experiment}.{self.seq}.{self.kind}.{self.hook}"


def add(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert messages, each to be sent now; `at` and `next_at` are this transaction's time."""
    if rows:
        session.change(insert(notices).values([row | {"at": session.now, "next_at": session.now} for row in rows]))


def due(session: Session, busy: Iterable[str], limit: int, longest: float) -> list[Notice]:
    """What is to be sent now, the longest overdue first; not of the experiments that are `busy`.

    Nothing is put off for more than `longest` seconds: what seems to be was, before the clock jumped back.
    """
    now = or_(notices.c.next_at <= session.now, notices.c.next_at > session.now + longest)
    query = select(notices).where(now, notices.c.experiment.not_in(list(busy)))
    return [Notice(*tuple(row)) for row in session.select(query.order_by(notices.c.next_at).limit(limit))]


def postpone(session: Session, notice: Notice, seconds: float) -> None:
    """Note a try that failed; the next one is in so many seconds."""
    session.change(update(notices).where(_is(notice)).values(tries=notice.tries + 1, next_at=session.now + seconds))


def drop(session: Session, notice: Notice) -> bool:
    """It is sent, or given up; whether it was still there."""
    return bool(session.change(delete(notices).where(_is(notice))))


def waiting(session: Session, tries: int | None = None) -> int:
    """How many messages are to be sent, or of them those that have been tried fewer than so many times."""
    query = select(func.count()).select_from(notices)
    return int(session.select(query if tries is None else query.where(notices.c.tries < tries))[0][0])


def last_event(session: Session, experiment: str, kinds: Sequence[str]) -> int:
    """`seq` of the newest event of one of these kinds; 0 where there is none."""
    query = select(events.c.seq).where(events.c.experiment == experiment, events.c.kind.in_(kinds))
    found = session.first(query.order_by(events.c.seq.desc()).limit(1))
    return int(found.seq) if found else 0


def events_since(session: Session, experiment: str, kind: str, after: int) -> list[str]:
    """The data of the events of a kind behind `after`."""
    query = select(events.c.data).where(events.c.experiment == experiment, events.c.kind == kind, events.c.seq > after)
    return [str(row[0]) for row in session.select(query)]


def _is(notice: Notice) -> ColumnElement[bool]:
    return and_(*(notices.c[name] == getattr(notice, name) for name in ("experiment", "seq", "kind", "hook")))
