"""Rows of messages that are still to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from orchestune.store.session import Session
from orchestune.store.tables import events, notifications

SERVER = "server"
"""in the place of a hook's number: the server's own"""


class NewNotice(Struct, frozen=True, gc=False):
    """A message to one hook that is not stored yet."""

    experiment: str
    seq: int
    kind: str
    hook: str
    data: str


class Notice(NewNotice, frozen=True, gc=False):
    """A message to one hook."""

    at: float
    delivery_attempts: int
    next_attempt_at: float

    @property
    def identity(self) -> str:
        """The same at each try, and no other message's."""
        return f"{self.experiment}.{self.seq}.{self.kind}.{self.hook}"


def add(session: Session, messages: Sequence[NewNotice]) -> None:
    """Insert messages, each to be sent now; `at` and `next_attempt_at` are this transaction's time."""
    if messages:
        times = {"at": session.now, "next_attempt_at": session.now}
        session.change(insert(notifications).values([asdict(message) | times for message in messages]))


def due(session: Session, busy: Iterable[str], limit: int, longest: float) -> list[Notice]:
    """What is to be sent now, the longest overdue first; not of the experiments that are `busy`.

    Nothing is put off for more than `longest` seconds: what seems to be was, before the clock jumped back.
    """
    now = or_(notifications.c.next_attempt_at <= session.now, notifications.c.next_attempt_at > session.now + longest)
    query = select(notifications).where(now, notifications.c.experiment.not_in(list(busy)))
    return session.select(query.order_by(notifications.c.next_attempt_at).limit(limit), Notice)


def postpone(session: Session, notice: Notice, seconds: float) -> None:
    """Note a try that failed; the next one is in so many seconds."""
    session.change(
        update(notifications)
        .where(_is(notice))
        .values(delivery_attempts=notice.delivery_attempts + 1, next_attempt_at=session.now + seconds)
    )


def drop(session: Session, notice: Notice) -> bool:
    """It is sent, or given up; whether it was still there."""
    return bool(session.change(delete(notifications).where(_is(notice))))


def waiting(session: Session, tries: int | None = None) -> int:
    """How many messages are to be sent, or of them those that have been tried fewer than so many times."""
    query = select(func.count().label("count")).select_from(notifications)
    return session.first(query if tries is None else query.where(notifications.c.delivery_attempts < tries), int) or 0


def last_event(session: Session, experiment: str, kinds: Sequence[str]) -> int:
    """`seq` of the newest event of one of these kinds; 0 where there is none."""
    query = select(events.c.seq).where(events.c.experiment == experiment, events.c.kind.in_(kinds))
    return session.first(query.order_by(events.c.seq.desc()).limit(1), int) or 0


def events_since(session: Session, experiment: str, kind: str, after: int) -> list[str]:
    """The data of the events of a kind behind `after`."""
    query = select(events.c.data).where(events.c.experiment == experiment, events.c.kind == kind, events.c.seq > after)
    return session.select(query, str)


def _is(notice: Notice) -> ColumnElement[bool]:
    return and_(*(notifications.c[name] == getattr(notice, name) for name in ("experiment", "seq", "kind", "hook")))
