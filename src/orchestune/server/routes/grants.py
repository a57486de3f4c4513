"""What lets others in: links to one experiment, and tokens, which are shown once, and sessions of browsers."""

from __future__ import annotations

from fastapi import Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import requests, routers
from orchestune.server.answers import answer
from orchestune.server.auditing import Note
from orchestune.server.parameters import Audit, Here, Known, RequestKey
from orchestune.services.access import grant_access

router = routers.of_clients("access")


@router.post("/experiments/{ref}/shares", status_code=201, response_model=documents.Share)
def share(context: Here, caller: Known, audit: Audit, ref: str, body: requests.ShareExperiment) -> Response:
    """Make a link that shows this one experiment, and nothing else, to whoever has it."""
    grant = grant_access.share(context.core, ref, caller, name=body.name, days=body.days)
    _created(audit, "share", grant)
    return answer(grant, 201)


@router.get("/shares", response_model=list[documents.Grant])
def shares(context: Here) -> Response:
    """Links that are of use."""
    return answer(grant_access.shares(context.core))


@router.delete("/shares/{identity}", status_code=204, response_class=Response)
async def unshare(context: Here, caller: Known, audit: Audit, identity: str) -> Response:
    """Take a link back, an editor its own and an owner all; who came by it is out."""
    await context.cold(grant_access.unshare, context.core, identity, caller)
    context.known.clear()
    audit.add(AuditKind.GRANT_REVOKED, identity, grant="share")
    return Response(status_code=204)


@router.post("/tokens", status_code=201, response_model=documents.IssuedToken)
def issue(context: Here, caller: Known, audit: Audit, body: requests.IssueToken, key: RequestKey = None) -> Response:
    """Make a token for somebody."""
    grant = grant_access.issue_token(
        context.core, caller, name=body.name, role=body.role, days=body.days, request_key=key
    )
    _created(audit, "token", grant)
    return answer(grant, 201)


@router.get("/tokens", response_model=list[documents.Grant])
def tokens(context: Here) -> Response:
    """Tokens that are of use, but for those of the token file."""
    return answer(grant_access.tokens(context.core))


@router.delete("/tokens/{identity}", status_code=204, response_class=Response)
async def revoke(context: Here, audit: Audit, identity: str) -> Response:
    """Take a token back; who came by it is out."""
    await context.cold(grant_access.revoke_token, context.core, identity)
    context.known.clear()
    audit.add(AuditKind.GRANT_REVOKED, identity, grant="token")
    return Response(status_code=204)


@router.get("/sessions", response_model=list[documents.Grant])
def sessions(context: Here) -> Response:
    """Return the browsers that are signed in."""
    return answer(grant_access.sessions(context.core))


@router.delete("/sessions/{identity}", status_code=204, response_class=Response)
async def end_session(context: Here, audit: Audit, identity: str) -> Response:
    """Sign a browser out; a token that is still valid signs in again."""
    await context.cold(grant_access.end_session, context.core, identity)
    context.known.clear()
    audit.add(AuditKind.GRANT_REVOKED, identity, grant="session")
    return Response(status_code=204)


def _created(audit: Audit, kind: str, grant: documents.Grant) -> None:
    details = {"grant": kind, "grantee": grant["name"], "grantee_role": grant["role"]}
    details |= {"experiment": grant["experiment"] or "", "expires_at": grant["expires_at"]}
    audit.append(Note(AuditKind.GRANT_CREATED, grant["id"], details))
