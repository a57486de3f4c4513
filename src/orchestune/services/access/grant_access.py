"""Credentials of users: tokens, links to one experiment, browser sessions. All expire and can be revoked."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Literal

from orchestune import documents
from orchestune.errors import Denied, NotFound
from orchestune.ports.clock import rfc3339
from orchestune.services.access.authenticate import TOKEN_PREFIX
from orchestune.services.core import Caller, Core
from orchestune.services.signatures import digest, repeatable_secret, secret
from orchestune.store import credentials, experiments
from orchestune.store.credentials import IDENTITY, Credential

DAY = 24 * 3600.0


def share(core: Core, ref: str, caller: Caller, *, name: str, days: int) -> documents.Share:
    """Create a link that gives read access to one experiment for `days` days.

    Only its digest is stored, so this is the only time that the link is returned. Raises NotFound if there is no such
    experiment.
    """
    code = secret(core)
    with core.store.transaction() as session:
        row = experiments.find(session, ref)
        credentials.put(
            session,
            digest(code),
            "share",
            name=name or "guest",
            role="guest",
            source=f"every {caller.role}" if caller.shared else "",  # no digest: the link outlives the token
            made_by=caller.name,
            experiment=row.id,
            seconds=days * DAY,
        )
        link = credentials.find(session, digest(code), "share")
    if link is None:
        raise NotFound(f"{row.handle} was deleted")
    return {**_document(link), "path": f"/share?code={code}"}


def shares(core: Core) -> list[documents.Grant]:
    """Return the valid links, newest first."""
    return _every(core, "share")


def unshare(core: Core, identity: str, caller: Caller) -> None:
    """Revoke a link and the sessions created with it.

    Raises NotFound if there is no such link, Denied if `caller` neither created it nor has the role owner.
    """
    with core.store.reading() as session:
        links = [link for link in credentials.every(session, "share") if link.digest[:IDENTITY] == identity]
    other = next((link.created_by for link in links if link.created_by != caller.name), None)
    if other is not None and caller.role != "owner":
        raise Denied(f"cannot revoke the link {identity}: it was created by '{other}'", "ask that user, or an owner")
    _revoke(core, "share", identity)


def issue_token(
    core: Core,
    caller: Caller,
    *,
    name: str,
    role: Literal["viewer", "editor", "owner"],
    days: int,
    idempotency_key: str | None = None,
) -> documents.IssuedToken:
    """Create a token for the user `name`, valid for `days` days.

    Only its digest is stored, so this is the only time that the token is returned. `idempotency_key`: with the same
    one, a retry of the request by the same caller gets the same token, also from several replicas at once.
    """
    token = TOKEN_PREFIX + secret(core)
    if idempotency_key is not None:
        request = json.dumps([idempotency_key, caller.source, caller.name, name, role, days])
        token = TOKEN_PREFIX + repeatable_secret(core, request)
    with core.store.transaction() as session:
        credentials.put(
            session,
            digest(token),
            "token",
            name=name,
            role=role,
            made_by=caller.name,
            seconds=days * DAY,
        )
        issued = credentials.find(session, digest(token), "token")
    assert issued is not None
    return {**_document(issued), "token": token}


def tokens(core: Core) -> list[documents.Grant]:
    """Return the valid tokens that the server issued, newest first, without those of the token file."""
    return _every(core, "token")


def revoke_token(core: Core, identity: str) -> None:
    """Revoke a token and the sessions created with it. Raises NotFound if there is no such token."""
    _revoke(core, "token", identity)


def sessions(core: Core) -> list[documents.Grant]:
    """Return the sessions of browsers, and of command lines by single sign-on, newest first."""
    return sorted(_every(core, "session") + _every(core, "login"), key=itemgetter("created_at"), reverse=True)


def end_session(core: Core, identity: str) -> None:
    """Revoke a session. Raises NotFound if there is none."""
    with core.store.transaction() as session:
        if credentials.revoke(session, "login", identity):
            return
    _revoke(core, "session", identity)


def _every(core: Core, kind: str) -> list[documents.Grant]:
    with core.store.reading() as session:
        return [_document(row) for row in credentials.every(session, kind)]


def _revoke(core: Core, kind: str, identity: str) -> None:
    with core.store.transaction() as session:
        if not credentials.revoke(session, kind, identity):
            raise NotFound(f"there is no {kind} {identity}; it may have expired")


def _document(row: Credential) -> documents.Grant:
    return {
        "id": row.digest[:IDENTITY],
        "name": row.name,
        "role": row.role,
        "experiment": row.handle,
        "made_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
