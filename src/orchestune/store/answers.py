"""Answers that are given again to who repeats a request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select

from orchestune.store.session import Session
from orchestune.store.tables import idempotency


def remembered(session: Session, key: str) -> Row[Any] | None:
    """The answer that was given to an idempotency key and has not expired."""
    return session.first(select(idempotency).where(idempotency.c.key == key, idempotency.c.expires_at > session.now))


def remember(session: Session, key: str, request_hash: str, status: int, answer: str, seconds: float) -> None:
    """Keep an answer for so many seconds; drops what has expired."""
    session.change(delete(idempotency).where((idempotency.c.expires_at <= session.now) | (idempotency.c.key == key)))
    session.change(
        insert(idempotency).values(
            key=key, request_hash=request_hash, status=status, answer=answer, expires_at=session.now + seconds
        )
    )
