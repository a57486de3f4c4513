"""The outbox: rows of notifications that are still to be delivered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from orchestune.store.session import Session
from orchestune.store.tables import events, notifications

SERVER = "server"
"""value of `hook` for the server's own hook, in place of a number"""


class NewNotice(Struct, frozen=True, gc=False):
    """A message to one hook, to be stored."""

    experiment: str
    seq: int
    kind: str
    hook: str
    data: str


class Notice(NewNotice, frozen=True, gc=False):
    """A stored message to one hook."""

    at: float
    delivery_attempts: int
    next_attempt_at: float

    @property
    def identity(self) -> str:
        """Unique id of the message, equal for all of its delivery attempts."""
        return f"{self.experiment}.{self.seq}.{self.kind}.{self.hook}"


def add(session: Session, messages: Sequence[NewNotice]) -> None:
    """Insert messages that are due immediately; `at` and `next_attempt_at` are this transaction's time."""
    if messages:
        times = {"at": session.now, "next_attempt_at": session.now}
        session.change(insert(notifications).values([asdict(message) | times for message in messages]))


def due(session: Session, busy: Iterable[str], limit: int, longest: float) -> list[Notice]:
    """Return up to `limit` due messages, the longest overdue first, without those of experiments in `busy`.

    No backoff exceeds `longest` seconds: a message due later than that was postponed before the clock jumped back, and
    is due now.
    """
    now = or_(notifications.c.next_attempt_at <= session.now, notifications.c.next_attempt_at > session.now + longest)
    query = select(notifications).where(now, notifications.c.experiment.not_in(list(busy)))
    return session.select(query.order_by(notifications.c.next_attempt_at).limit(limit), Notice)


def postpone(session: Session, notice: Notice, seconds: float) -> None:
    """Record a failed delivery attempt; the next one is due in `seconds`."""
    session.change(
        update(notifications)
        .where(_is(notice))
        .values(delivery_attempts=notice.delivery_attempts + 1, next_attempt_at=session.now + seconds)
    )


def drop(session: Session, notice: Notice) -> bool:
    """Delete a message that was delivered or abandoned. Return False if it was deleted before."""
    return bool(session.change(delete(notifications).where(_is(notice))))


def waiting(session: Session, tries: int | None = None) -> int:
    """Return the number of undelivered messages, or of those with fewer than `tries` delivery attempts."""
    query = select(func.count().label("count")).select_from(notifications)
    return session.first(query if tries is None else query.where(notifications.c.delivery_attempts < tries), int) or 0


def last_event(session: Session, experiment: str, kinds: Sequence[str]) -> int:
    """Return the number of the newest event of one of these kinds, 0 if there is none."""
    query = select(events.c.seq).where(events.c.experiment == experiment, events.c.kind.in_(kinds))
    return session.first(query.order_by(events.c.seq.desc()).limit(1), int) or 0


def events_since(session: Session, experiment: str, kind: str, after: int) -> list[str]:
    """Return the data of the events of a kind with a number above `after`."""
    query = select(events.c.data).where(events.c.experiment == experiment, events.c.kind == kind, events.c.seq > after)
    return session.select(query, str)


def _is(notice: Notice) -> ColumnElement[bool]:
    return and_(*(notifications.c[name] == getattr(notice, name) for name in ("experiment", "seq", "kind", "hook")))
