"""Idempotent requests: retries with the same key get the stored first response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from orchestune.errors import Conflict
from orchestune.services.core import Core
from orchestune.store import idempotency
from orchestune.store.session import Session

RETENTION_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with an Idempotency-Key."""

    key: str
    hash: str

    def answered(self, session: Session, status: int, answer: Mapping[str, object]) -> None:
        """Store the response (JSON) for 24 hours, in the same transaction as the request's changes.

        A retry is then not executed twice if the server dies before it has sent the response.
        """
        idempotency.remember(session, self.key, self.hash, status, json.dumps(answer), RETENTION_SECONDS)


def take(core: Core, key: str) -> bool:
    """Lock the key across replicas; return False if another one is executing it. Release the lock with `leave`."""
    return core.store.acquire_lock(f"idempotency/{key}")


def leave(core: Core, key: str) -> None:
    """Release the lock of `take` after the response was stored. Never raises."""
    core.store.release_lock(f"idempotency/{key}")


def remembered(core: Core, key: str, request_hash: str) -> tuple[int, str] | None:
    """Return status and response stored for this key, or None. Raises Conflict if the requests differ."""
    with core.store.reading() as session:
        row = idempotency.remembered(session, key)
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise Conflict("this Idempotency-Key was used for another request", "create a new key for each request")
    return row.status, row.response


def remember(core: Core, key: str, request_hash: str, status: int, answer: str) -> None:
    """Store the response for 24 hours."""
    with core.store.transaction() as session:
        idempotency.remember(session, key, request_hash, status, answer, RETENTION_SECONDS)
