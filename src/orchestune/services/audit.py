"""The audit log: lines in the server log and rows in the store, readable by owners."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Sequence

from orchestune import documents
from orchestune.domain.access.audit import AuditEvent, AuditKind
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.instants import time_of
from orchestune.store import audit as rows
from orchestune.store.audit import AuditRow

logger = logging.getLogger("orchestune.audit")
logger.setLevel(logging.INFO)  # independent of `log_level`: raising it must not silence the audit log

TOPIC = "audit"
_OWNERS = "token file"


class AuditBatch(documents.AuditPage):
    """A page for streams; `over` is always false, since the log never ends."""

    over: bool


def log(event: AuditEvent) -> None:
    """Write `event` as one line of the log. Never blocks on the store."""
    fields = {"actor": event.actor, "role": event.role, "address": event.address, "subject": event.subject}
    logger.info("%s", event.kind.value, extra={**{k: v for k, v in fields.items() if v}, **event.details})


def record(core: Core, events: Sequence[AuditEvent]) -> None:
    """Add rows for `events` and wake streams. Raises StoreUnavailable if the store fails; then nothing was added."""
    with core.store.transaction() as session:
        rows.append(session, events)
    core.signals.notify(TOPIC)


def page(core: Core, after: int | None, limit: int, since: str | None = None) -> AuditBatch:
    """Return the events after cursor `after` (if None: the newest ones since `since`) and the next cursor.

    Events are in ascending order. Raises BadInput if `since` is not a time.
    """
    earliest = time_of(since) or 0.0
    with core.store.reading() as session:
        if after is None:
            events, end = rows.newest(session, limit, earliest), rows.end(session)
        else:
            events, end = rows.after(session, after, limit), after
    items = [_document(row) for row in events]
    return {"items": items, "next": items[-1]["seq"] if items else end, "over": False}


def owners_event(core: Core) -> AuditEvent | None:
    """Return an event if owners or tokens in the token file changed since the last start; None otherwise.

    The token file grants the owner role without any request that could be audited.
    """
    text = "\n".join(sorted(f"{name} {token}" for token, name in core.owners.items()))
    fingerprint = hmac.digest(core.key, f"audit/{text}".encode(), "sha256").hex()[:16]
    with core.store.reading() as session:
        row = rows.last(session, AuditKind.ROLE_CHANGED, _OWNERS)
    if row is not None and row.parsed_details.get("fingerprint") == fingerprint:
        return None
    details = {"owners": ", ".join(sorted(core.owners.values())), "fingerprint": fingerprint}
    return AuditEvent(AuditKind.ROLE_CHANGED, core.clock.now(), subject=_OWNERS, details=details)


def _document(row: AuditRow) -> documents.AuditEvent:
    return {
        "seq": row.seq,
        "at": rfc3339(row.at),
        "kind": row.kind,
        "actor": row.actor,
        "role": row.role,
        "address": row.address,
        "subject": row.subject,
        "details": row.parsed_details,
    }
