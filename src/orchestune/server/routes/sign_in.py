"""One-time links that sign a browser in."""

from __future__ import annotations

from fastapi import Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import requests, routers
from orchestune.server.answers import answer
from orchestune.server.parameters import Audit, RequestCaller, RequestContext
from orchestune.services.access import sign_in

router = routers.of_clients("server")


@router.post("/sign-in", status_code=201, response_model=documents.Invitation)
def invite(
    context: RequestContext, caller: RequestCaller, audit: Audit, body: requests.Nothing | None = None
) -> Response:
    """Create a link that signs one browser in as the caller; it is valid once, for five minutes."""
    link = sign_in.invite(context.core, caller)
    audit.add(AuditKind.SIGN_IN_LINK_CREATED, expires_at=link["expires_at"])
    return answer(link, 201)
