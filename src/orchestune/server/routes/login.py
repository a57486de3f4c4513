"""Single sign-on of command lines: a person approves each one at the identity provider."""

from __future__ import annotations

from fastapi import Request, Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.errors import Denied
from orchestune.ports.clock import rfc3339
from orchestune.server import requests, routers
from orchestune.server.answers import answer
from orchestune.server.caller_address import caller_address, throttle_key
from orchestune.server.parameters import Audit, RequestCaller, RequestContext
from orchestune.services.access import single_sign_on
from orchestune.services.access.authenticate import LOGIN_PREFIX
from orchestune.services.signatures import digest

router = routers.of_clients("server")


@router.post("/login", status_code=201, response_model=documents.LoginCode)
async def begin(context: RequestContext, request: Request, body: requests.Nothing | None = None) -> Response:
    """Begin the sign-in of a command line; a person enters the code at the identity provider."""
    address = caller_address(request.scope, context.proxies)
    context.logins.count(throttle_key(address))
    return answer(await context.signing_in(address, single_sign_on.begin_login, context.core), 201)


@router.post("/login/token", response_model=documents.Login)
async def finish(context: RequestContext, request: Request, audit: Audit, body: requests.FinishLogin) -> Response:
    """Request the token of a command line. It is empty until the person has approved the sign-in; poll for it."""
    address = caller_address(request.scope, context.proxies)
    try:
        signed_in = await context.signing_in(address, single_sign_on.finish_login, context.core, body.login)
    except Denied as exc:
        audit.add(AuditKind.SIGN_IN_FAILED, by="login", reason=exc.message)
        raise context.failures.refusal(address, exc) from exc
    if signed_in is None:
        return answer({"token": "", "name": "", "role": "", "expires_at": ""})
    caller = signed_in.caller
    audit.add(AuditKind.SIGN_IN, "", caller, by="login")
    expires_at = rfc3339(signed_in.expires_at)
    return answer({"token": signed_in.token, "name": caller.name, "role": caller.role, "expires_at": expires_at})


@router.delete("/login", status_code=204, response_class=Response)
async def end(context: RequestContext, request: Request, caller: RequestCaller, audit: Audit) -> Response:
    """End the sign-in of a command line and the browser sessions started with it. Other tokens are not affected."""
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    if token.startswith(LOGIN_PREFIX) and digest(token) == caller.source:
        ended = await context.cold(single_sign_on.end_login, context.core, caller)
        context.callers.clear()
        await context.revoke(ended)
        audit.add(AuditKind.GRANT_REVOKED, caller.source[:16], grant="login")
    return Response(status_code=204)
