"""Who may call what: every request passes here first."""

from __future__ import annotations

from enum import StrEnum

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestune.errors import Denied
from orchestune.server.context import Context
from orchestune.services.core import Caller

API = "/api/v1/"


class Unknown(Denied):
    """The token is missing or stands for nobody."""

    status = 401


class Need(StrEnum):
    """What a route asks of its caller."""

    NOTHING = "nothing"
    OWNER = "owner"
    WORKER = "worker"
    ANYBODY = "anybody"


def need(method: str, path: str) -> Need:
    """What is asked for; a path that nobody thought of is the owner's."""
    if not path.startswith(API) or path.startswith(f"{API}report/"):
        return Need.NOTHING  # probes, pages, and what proves itself by a signature in its address
    if path.startswith(f"{API}workers/"):
        return Need.WORKER
    if path.startswith(f"{API}bundles/") and method == "GET":
        return Need.ANYBODY
    return Need.OWNER


def allowed(caller: Caller, wanted: Need, path: str) -> bool:
    """Whether `caller` may do that. An owner may do everything, a worker what is its own."""
    if caller.role == "owner" or wanted is Need.ANYBODY:
        return True
    return wanted is Need.WORKER and path.removeprefix(f"{API}workers/").partition("/")[0] == caller.worker


class Access:
    """The middleware. Puts the caller into the request's state."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            wanted = need(scope["method"], scope["path"])
            if wanted is not Need.NOTHING:
                caller = await self._caller(scope)
                if not allowed(caller, wanted, scope["path"]):
                    raise Denied(f"the token of {caller.name} does not reach {scope['path']}")
                scope["state"]["caller"] = caller
        await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        token = _bearer(scope)
        caller = self.context.known.get(token)
        if caller is None and token:
            caller = await self.context.hot(self.context.services.authenticate.authenticate, self.context.core, token)
            if caller is not None:
                self.context.known.remember(token, caller)
        if caller is None:
            hint = "set ORCHESTUNE_TOKEN to the one that the server's operator gave you"
            raise Unknown("the token is unknown" if token else "a token is missing", hint)
        return caller


def _bearer(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""
