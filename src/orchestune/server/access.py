"""Authentication and authorization of every request."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlencode

from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestune import __version__
from orchestune.client.connection.versions import HEADER
from orchestune.domain.access.audit import AuditKind
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import Denied, TemporaryError, Throttled
from orchestune.server import cookies
from orchestune.server.auditing import notes_of
from orchestune.server.caller_address import caller_address
from orchestune.server.caller_limits import AuditedRequests, CallerLimits, set_caller
from orchestune.server.context import Context
from orchestune.server.cookies import header
from orchestune.server.keyed_semaphores import KeyedSemaphores
from orchestune.services.access import authenticate
from orchestune.services.cluster_teardown import refuse
from orchestune.services.core import Caller

API = "/api/v1/"
EXPORTS_AT_ONCE = 2
"""maximum of exports in progress per caller; each writes a temporary file, which is kept until it has been sent"""
SLOW_BODY = 1.0
"""seconds after which the caller of a complete body is authenticated again: it may have been revoked meanwhile"""
_EXPORT = re.compile(rf"{API}experiments/[^/]+/archive")
USER_HEADER = b"orchestune-user"
"""header with the name of a user who shares a token with others, percent-encoded if it is not ASCII"""
_SEEN = ("experiments", "diff", "server", "cluster", "openapi.json")
"""first path segments that a viewer may read"""
_GUESTS = (
    "", "best", "columns", "contour", "curves", "events", "explain", "hypervolume", "importance", "logs", "overview",
    "specification", "timeline", "trials",
)  # fmt: skip
"""path segments below its one experiment that a guest may read"""
_OPEN = ("healthz", "readyz", "share", "sign-in", "sign-out", "static")
"""first path segments outside the API that need no authentication"""
_HINT = "set ORCHESTUNE_TOKEN to the one that the server's operator gave you"
_VERSION = (HEADER.lower().encode(), __version__.encode())


class UnknownToken(Denied):
    """The token is missing or unknown."""

    status = 401


class Need(StrEnum):
    """The role that a route requires of its caller."""

    NOTHING = "nothing"
    VIEWER = "viewer"
    EDITOR = "editor"
    OWNER = "owner"
    WORKER = "worker"
    ANYBODY = "anybody"
    PAGE = "page"
    """like `VIEWER`, but unauthenticated users are redirected to the sign-in page"""


def need(method: str, path: str, query: str = "") -> Need:
    """Return the role that a request requires. Unlisted paths, and deletions of records, require an owner."""
    if path == "/metrics":
        return Need.VIEWER
    if not path.startswith(API):
        return Need.NOTHING if path[1:].partition("/")[0] in _OPEN else Need.PAGE
    if path.startswith(f"{API}report/"):
        return Need.NOTHING  # authenticated by a signature in its URL
    if path == f"{API}proof":
        return Need.NOTHING  # authenticates the server to a worker, before the worker sends its token
    head = path.removeprefix(API).partition("/")[0]
    if head == "sign-in":
        return Need.VIEWER
    if head == "workers":
        return Need.WORKER
    if head == "shares":
        return Need.EDITOR
    if head == "bundles":
        return Need.ANYBODY if method == "GET" else Need.EDITOR
    if head in _SEEN and method in ("GET", "HEAD"):
        return Need.VIEWER
    if head == "experiments" and not (method == "DELETE" and "purge" in parse_qs(query)):
        return Need.EDITOR
    return Need.OWNER


def allowed(caller: Caller, wanted: Need, path: str) -> bool:
    """Return True if `caller` meets the requirement. A role includes those below it; workers have their own paths."""
    if caller.role == "guest":
        return wanted in (Need.VIEWER, Need.PAGE) and _is_of(caller, path)
    if caller.role == "owner" or wanted is Need.ANYBODY:
        return True
    if wanted is Need.WORKER:
        return bool(caller.worker) and path.removeprefix(f"{API}workers/").partition("/")[0] == caller.worker
    least = "viewer" if wanted is Need.PAGE else wanted.value
    return caller.role in SERVER_ROLES and SERVER_ROLES.index(caller.role) >= SERVER_ROLES.index(least)


def _is_of(caller: Caller, path: str) -> bool:
    """Return True if the path belongs to the one experiment of a guest."""
    page = not path.startswith(API)
    parts = path.removeprefix("/" if page else API).split("/")
    if len(parts) < 2 or parts[0] != "experiments" or parts[1] not in (caller.experiment, caller.handle):
        return False
    return page or (parts[2] if len(parts) > 2 else "") in _GUESTS


class AccessMiddleware:
    """The middleware that authenticates and authorizes requests, and puts the caller into their state."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context
        self._crowd = CallerLimits()
        self._noted = AuditedRequests()
        self._exports = KeyedSemaphores(EXPORTS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = Need.NOTHING
        if scope["type"] == "http":
            wanted = need(scope["method"], scope["path"], scope["query_string"].decode("latin-1"))
        if wanted is Need.NOTHING:
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except UnknownToken:
            if wanted is not Need.PAGE:
                raise
            await _to_sign_in(scope)(scope, receive, send)
            return
        scope["state"]["principal"] = caller  # for the audit log, also if the request is refused
        if not allowed(caller, wanted, scope["path"]):
            if caller.role == "guest" and wanted is Need.PAGE:  # the user may have a token to sign in with
                await _to_sign_in(scope)(scope, receive, send)
                return
            raise _refused(caller, wanted, scope["path"])
        if wanted in (Need.EDITOR, Need.OWNER) and scope["method"] not in cookies.SAFE:
            refuse(self.context.core)
        scope["state"]["caller"] = caller
        receive = self._authenticating_again(scope, receive, wanted)
        if caller.role != "worker":
            send = self._while_known(scope, _with_version(send))
        key = set_caller(caller)
        if key:
            self._noted.count(key, scope["method"], scope["path"])
        is_export = key and _EXPORT.fullmatch(scope["path"])
        counted = self._crowd.add_request_of(caller, key, is_waiting=_is_waiting(scope))
        try:
            if is_export:
                async with self._exports.of(key):
                    await self.app(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            for each in counted:
                self._crowd.remove(each)

    async def _caller(self, scope: Scope) -> Caller:
        token = _bearer(scope)
        if not token:
            return await self._session(scope)
        caller = self.context.known.get(token)
        if caller is None:
            core = self.context.core
            taken = self.context.known.taken
            caller = await self.context.hot(authenticate.authenticate, core, token)
            if caller is None:
                caller = await self.context.identify(token, caller_address(scope, self.context.proxies))
            if caller is None:
                self.context.known.reject(token)
                raise self._unknown(scope)
            self.context.known.remember(token, caller, taken)
        return replace(caller, name=_given_name(scope) or caller.name) if caller.shared else caller

    def _unknown(self, scope: Scope) -> Denied:
        """Return the error for an unknown token, after noting it for the audit log and counting it for the throttle."""
        notes_of(scope).add(AuditKind.TOKEN_FAILED, f"{scope['method']} {scope['path']}")
        address = caller_address(scope, self.context.proxies)
        return self.context.failures.refusal(address, UnknownToken("the token is unknown", _HINT))

    async def _session(self, scope: Scope) -> Caller:
        """Return the caller of a browser session. Unsafe methods are accepted from this server's own pages only."""
        host = self.context.core.pages_host
        token = cookies.session_token(scope) if not host or cookies.host_name(scope) == host else ""
        if not token:
            raise UnknownToken("a token is missing", _HINT)
        caller = self.context.known.get(token)
        if caller is None:
            taken = self.context.known.taken
            caller = await self.context.hot(authenticate.session_of, self.context.core, token)
            if caller is None:
                self.context.known.reject(token)
                raise UnknownToken("the session is over", "sign in again: `orchestune ui`")
            self.context.known.remember(token, caller, taken)
        if scope["method"] not in cookies.SAFE and not cookies.from_our_pages(scope, self.context.core.url):
            raise Denied("another site sent this in your name, which is refused", "use the pages of this server")
        return caller

    def _authenticating_again(self, scope: Scope, receive: Receive, wanted: Need) -> Receive:
        """Wrap `receive` to authenticate the caller again once a slow body is complete, before anything is done.

        A body of 4 MiB may take an hour. A token that is revoked meanwhile could still create an experiment otherwise.
        """
        began = time.monotonic()

        async def receiving() -> Message:
            message = await receive()
            is_complete = message["type"] == "http.request" and not message.get("more_body", False)
            if is_complete and time.monotonic() - began > SLOW_BODY:
                caller = await self._caller(scope)
                if not allowed(caller, wanted, scope["path"]):
                    raise _refused(caller, wanted, scope["path"])
                scope["state"]["caller"] = caller
            return message

        return receiving

    def _while_known(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to end an event stream when the session or token of its caller expires or is revoked.

        A page that stays open all day would outlive them otherwise.
        """
        streams = False

        async def sending(message: Message) -> None:
            nonlocal streams
            if message["type"] == "http.response.start":
                kind = dict(message.get("headers", ())).get(b"content-type", b"")
                streams = kind.startswith(b"text/event-stream")
            elif streams:
                try:
                    await self._caller(scope)
                except (
                    UnknownToken,
                    Throttled,
                    TemporaryError,
                ):  # also if the cluster cannot be reached: clients reconnect
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    raise ClientDisconnect from None  # the caller may not read more
            await send(message)

        return sending


def _with_version(send: Send) -> Send:
    """Wrap `send` to add the server's version to responses, so that clients detect a mismatch without asking."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _VERSION]
        await send(message)

    return sending


def _to_sign_in(scope: Scope) -> Response:
    where = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return RedirectResponse(f"/sign-in?{urlencode({'next': where})}" if where != "/" else "/sign-in", 303)


def _refused(caller: Caller, wanted: Need, path: str) -> Denied:
    if caller.role == "worker" or wanted is Need.WORKER:
        return Denied(f"the token of {caller.name} does not reach {path}")
    if caller.role == "guest":
        return Denied("this link shows one experiment, and nothing else", "sign in: `orchestune ui`")
    needed = _with_article(wanted.value)
    text = f"{caller.name} is {_with_article(caller.role)} here, and this needs {needed}"
    return Denied(text, f"ask for access as {needed}")


def _with_article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def _is_waiting(scope: Scope) -> bool:
    """Return True if the request is for a stream or a long poll, so it may be in progress without doing anything."""
    if scope["method"] != "GET":
        return False
    return "text/event-stream" in header(scope, b"accept") or b"wait=" in scope["query_string"]


def _given_name(scope: Scope) -> str:
    text = unquote(header(scope, USER_HEADER).strip())
    return text if len(text) <= 200 and text.isprintable() else ""


def _bearer(scope: Scope) -> str:
    scheme, _, token = header(scope, b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
