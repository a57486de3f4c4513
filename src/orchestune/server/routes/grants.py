"""Grants of access: share links to one experiment, tokens, which are shown once, and browser sessions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import requests, routers
from orchestune.server.answers import answer
from orchestune.server.auditing import Note, RequestNotes
from orchestune.server.context import Context
from orchestune.server.parameters import Audit, IdempotencyKey, RequestCaller, RequestContext
from orchestune.services.access import grant_access
from orchestune.services.core import Core

router = routers.of_clients("access")


@router.post("/experiments/{ref}/shares", status_code=201, response_model=documents.Share)
def share(
    context: RequestContext, caller: RequestCaller, audit: Audit, ref: str, body: requests.ShareExperiment
) -> Response:
    """Create a link that shows only this experiment to everyone who has the link."""
    grant = grant_access.share(context.core, ref, caller, name=body.name, days=body.days)
    _note_creation(audit, "share", grant)
    return answer(grant, 201)


@router.get("/shares", response_model=list[documents.Grant])
def shares(context: RequestContext) -> Response:
    """List the valid share links."""
    return answer(grant_access.shares(context.core))


@router.delete("/shares/{identity}", status_code=204, response_class=Response)
async def unshare(context: RequestContext, caller: RequestCaller, audit: Audit, identity: str) -> Response:
    """Revoke a share link and its sessions. Editors can revoke their own links, owners all of them."""
    return await _revoke(context, audit, "share", identity, partial(grant_access.unshare, caller=caller))


@router.post("/tokens", status_code=201, response_model=documents.IssuedToken)
def issue(
    context: RequestContext, caller: RequestCaller, audit: Audit, body: requests.IssueToken, key: IdempotencyKey = None
) -> Response:
    """Create a token for another user."""
    grant = grant_access.issue_token(
        context.core, caller, name=body.name, role=body.role, days=body.days, idempotency_key=key
    )
    _note_creation(audit, "token", grant)
    return answer(grant, 201)


@router.get("/tokens", response_model=list[documents.Grant])
def tokens(context: RequestContext) -> Response:
    """List the valid tokens, except those of the token file."""
    return answer(grant_access.tokens(context.core))


@router.delete("/tokens/{identity}", status_code=204, response_class=Response)
async def revoke(context: RequestContext, audit: Audit, identity: str) -> Response:
    """Revoke a token and its sessions."""
    return await _revoke(context, audit, "token", identity, grant_access.revoke_token)


@router.get("/sessions", response_model=list[documents.Grant])
def sessions(context: RequestContext) -> Response:
    """List the browser sessions."""
    return answer(grant_access.sessions(context.core))


@router.delete("/sessions/{identity}", status_code=204, response_class=Response)
async def end_session(context: RequestContext, audit: Audit, identity: str) -> Response:
    """End a browser session. A valid token can sign in again."""
    return await _revoke(context, audit, "session", identity, grant_access.end_session)


async def _revoke(
    context: Context, audit: RequestNotes, kind: str, identity: str, revoke: Callable[[Core, str], None]
) -> Response:
    """Revoke a grant and note it for the audit log. Forget cached callers, so that this server refuses it at once."""
    await context.cold(revoke, context.core, identity)
    context.callers.clear()
    audit.add(AuditKind.GRANT_REVOKED, identity, grant=kind)
    return Response(status_code=204)


def _note_creation(audit: Audit, kind: str, grant: documents.Grant) -> None:
    details = {"grant": kind, "grantee": grant["name"], "grantee_role": grant["role"]}
    details |= {"experiment": grant["experiment"] or "", "expires_at": grant["expires_at"]}
    audit.append(Note(AuditKind.GRANT_CREATED, grant["id"], details))
