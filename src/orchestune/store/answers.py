"""Answers that are given again to who repeats a request."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import delete, insert, select

from orchestune.store.session import Session
from orchestune.store.tables import idempotency


class StoredAnswer(Struct, frozen=True, gc=False):
    """The answer to the first request with an idempotency key."""

    request_hash: str
    status: int
    response: str


def remembered(session: Session, key: str) -> StoredAnswer | None:
    """The answer that was given to an idempotency key and has not expired."""
    query = select(idempotency.c.request_hash, idempotency.c.status, idempotency.c.response)
    return session.first(query.where(idempotency.c.key == key, idempotency.c.expires_at > session.now), StoredAnswer)


def remember(session: Session, key: str, request_hash: str, status: int, answer: str, seconds: float) -> None:
    """Keep an answer for so many seconds; drops what has expired."""
    session.change(delete(idempotency).where((idempotency.c.expires_at <= session.now) | (idempotency.c.key == key)))
    session.change(
        insert(idempotency).values(
            key=key, request_hash=request_hash, status=status, response=answer, expires_at=session.now + seconds
        )
    )
