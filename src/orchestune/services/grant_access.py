"""What people give to others: tokens of the server, and links to one experiment. Each has an end and can be revoked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.errors import NotFound
from orchestune.ports.clock import rfc3339
from orchestune.services.authenticate import TOKEN_PREFIX
from orchestune.services.core import Caller, Core
from orchestune.services.sign_in import secret
from orchestune.services.signatures import digest
from orchestune.store import credentials, experiments
from orchestune.store.credentials import IDENTITY, Credential

DAY = 24 * 3600.0
Document = dict[str, Any]


def share(core: Core, ref: str, body: Mapping[str, Any], caller: Caller) -> Document:
    """A link that shows one experiment to whoever has it. The link is told this once: only its digest is kept."""
    code = secret(core)
    with core.store.transaction() as session:
        row = experiments.find(session, ref)
        credentials.put(
            session,
            digest(code),
            "share",
            name=str(body.get("name") or "guest"),
            role="guest",
            made_by=caller.name,
            experiment=row.id,
            seconds=int(body["days"]) * DAY,
        )
        found = credentials.find(session, digest(code), "share")
    if found is None:
        raise NotFound(f"{row.handle} was deleted")
    return _document(found) | {"path": f"/share?code={code}"}


def shares(core: Core) -> list[Document]:
    """Links that are of use, the newest first."""
    return _every(core, "share")


def unshare(core: Core, identity: str) -> None:
    """Take a link back, and the sessions that it began. NotFound where there is none."""
    _revoke(core, "share", identity)


def issue_token(core: Core, body: Mapping[str, Any], caller: Caller) -> Document:
    """A token for somebody. It is told this once: only its digest is kept."""
    token = TOKEN_PREFIX + secret(core)
    with core.store.transaction() as session:
        credentials.put(
            session,
            digest(token),
            "token",
            name=str(body["name"]),
            role=str(body["role"]),
            made_by=caller.name,
            seconds=int(body["days"]) * DAY,
        )
        found = credentials.find(session, digest(token), "token")
    assert found is not None
    return _document(found) | {"token": token}


def tokens(core: Core) -> list[Document]:
    """Tokens that the server issued and that are of use, the newest first; none of the token file is among them."""
    return _every(core, "token")


def revoke_token(core: Core, identity: str) -> None:
    """Take a token back, and the sessions that it began. NotFound where there is none."""
    _revoke(core, "token", identity)


def _every(core: Core, kind: str) -> list[Document]:
    with core.store.reading() as session:
        return [_document(row) for row in credentials.every(session, kind)]


def _revoke(core: Core, kind: str, identity: str) -> None:
    with core.store.transaction() as session:
        if not credentials.revoke(session, kind, identity):
            raise NotFound(f"there is no {kind} {identity}; it may be over already")


def _document(row: Credential) -> Document:
    return {
        "id": row.digest[:IDENTITY],
        "name": row.name,
        "role": row.role,
        "experiment": row.handle,
        "made_by": row.made_by,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
