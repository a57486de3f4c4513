"""Requests that may be repeated: the first answer is given again."""

from __future__ import annotations

from orchestune.errors import Conflict
from orchestune.services.core import Core
from orchestune.store import answers

SECONDS = 24 * 3600.0


def take(core: Core, key: str) -> bool:
    """Whether no other server on the same database carries out a request with this key; then `leave` it at the end."""
    return core.store.take_turn(f"idempotency/{key}")


def leave(core: Core, key: str) -> None:
    """The request with this key is over, and its answer remembered; raises nothing."""
    core.store.leave_turn(f"idempotency/{key}")


def remembered(core: Core, key: str, request_hash: str) -> tuple[int, str] | None:
    """Status and answer of the first request with this key; Conflict where that was another request."""
    with core.store.reading() as session:
        row = answers.remembered(session, key)
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise Conflict("this Idempotency-Key was used for another request", "make a new key for each request")
    return row.status, row.answer


def remember(core: Core, key: str, request_hash: str, status: int, answer: str) -> None:
    """Keep the answer for 24 hours."""
    with core.store.transaction() as session:
        answers.remember(session, key, request_hash, status, answer, SECONDS)
