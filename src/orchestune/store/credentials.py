"""Rows of what browsers show: sessions, and links that begin one. Digests only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select

from orchestune.store.session import Session
from orchestune.store.tables import credentials


def put(session: Session, digest: str, kind: str, *, name: str, role: str, source: str, seconds: float) -> float:
    """Take a credential for so many seconds, and forget those that have expired; when it expires."""
    session.change(delete(credentials).where(credentials.c.expires_at <= session.now))
    expires = session.now + seconds
    session.change(
        insert(credentials).values(
            digest=digest,
            kind=kind,
            name=name,
            role=role,
            source=source,
            created_at=session.now,
            expires_at=expires,
        )
    )
    return expires


def find(session: Session, digest: str, kind: str) -> Row[Any] | None:
    """The credential with this digest, unless it has expired."""
    query = select(credentials).where(
        credentials.c.digest == digest, credentials.c.kind == kind, credentials.c.expires_at > session.now
    )
    found = session.select(query)
    return found[0] if found else None


def drop(session: Session, digest: str) -> bool:
    """Forget it; of several who do so at once one hears True."""
    return session.change(delete(credentials).where(credentials.c.digest == digest)) == 1
