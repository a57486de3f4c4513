"""Stored responses for requests with an idempotency key."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import delete, insert, select

from orchestune.store.session import Session
from orchestune.store.tables import idempotency


class StoredAnswer(Struct, frozen=True, gc=False):
    """The response to the first request with an idempotency key."""

    request_hash: str
    status: int
    response: str


def remembered(session: Session, key: str) -> StoredAnswer | None:
    """Return the unexpired response stored for an idempotency key, or None."""
    query = select(idempotency.c.request_hash, idempotency.c.status, idempotency.c.response)
    return session.first(query.where(idempotency.c.key == key, idempotency.c.expires_at > session.now), StoredAnswer)


def remember(session: Session, key: str, request_hash: str, status: int, answer: str, seconds: float) -> None:
    """Store a response for `seconds`, replacing one with the same key, and delete expired responses."""
    session.change(delete(idempotency).where((idempotency.c.expires_at <= session.now) | (idempotency.c.key == key)))
    session.change(
        insert(idempotency).values(
            key=key, request_hash=request_hash, status=status, response=answer, expires_at=session.now + seconds
        )
    )
