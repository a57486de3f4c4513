"""Requests that may be repeated: the first answer is given again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from orchestune.errors import Conflict
from orchestune.services.core import Core
from orchestune.store import answers
from orchestune.store.session import Session

SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Asked:
    """A request that may be repeated."""

    key: str
    hash: str

    def answered(self, session: Session, status: int, answer: Mapping[str, object]) -> None:
        """Store the answer (JSON) for 24 hours, in the transaction of what the request changes.

        A retry is then not carried out again if the server dies before it has sent the answer.
        """
        answers.remember(session, self.key, self.hash, status, json.dumps(answer), SECONDS)


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
    return row.status, row.response


def remember(core: Core, key: str, request_hash: str, status: int, answer: str) -> None:
    """Keep the answer for 24 hours."""
    with core.store.transaction() as session:
        answers.remember(session, key, request_hash, status, answer, SECONDS)
