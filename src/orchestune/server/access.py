"""Authentication and authorization of every request."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
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
from orchestune.errors import Denied, OrchestuneError, TemporaryError, Throttled
from orchestune.server import cookies
from orchestune.server.auditing import notes_of
from orchestune.server.caller_address import caller_address
from orchestune.server.caller_limits import AuditedRequests, CallerLimits, set_address, set_caller
from orchestune.server.context import Context
from orchestune.server.cookies import header
from orchestune.server.keyed_semaphores import KeyedSemaphores
from orchestune.services.access import authenticate
from orchestune.services.access.authenticate import LOGIN_PREFIX
from orchestune.services.cluster_teardown import refuse
from orchestune.services.core import Caller, Core
from orchestune.services.signatures import signed_worker

API = "/api/v1/"
MAX_EXPORTS_PER_CALLER = 2
"""each export writes a temporary file, which is kept until it has been sent"""
SLOW_SECONDS = 1.0
"""the caller is authenticated again after a longer wait for the body, or for a turn: the token may have been revoked"""
_WORKERS = f"{API}workers/"
_EXPORT = re.compile(rf"{API}experiments/[^/]+/archive")
USER_HEADER = b"orchestune-user"
"""header with the name of a user who shares a token with others, percent-encoded if it is not ASCII"""
_VIEWER_SEGMENTS = ("experiments", "diff", "server", "cluster", "openapi.json")
"""first path segments that a viewer may read"""
_GUEST_SEGMENTS = (
    "", "best", "columns", "contour", "curves", "events", "explain", "hypervolume", "importance", "logs", "overview",
    "specification", "timeline", "trials",
)  # fmt: skip
"""path segments below its one experiment that a guest may read"""
_PUBLIC_SEGMENTS = ("healthz", "readyz", "share", "sign-in", "sign-out", "static")
"""first path segments outside the API that need no authentication"""
_TOKEN_HINT = "set ORCHESTUNE_TOKEN to the token from the server's operator"
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
    ANY_CALLER = "any caller"
    PAGE = "page"
    """like `VIEWER`, but unauthenticated users are redirected to the sign-in page"""


def need(method: str, path: str, query: str = "") -> Need:
    """Return the role that a request requires. Unlisted paths, and deletions of records, require an owner."""
    if path == "/metrics":
        return Need.VIEWER
    if not path.startswith(API):
        return Need.NOTHING if path[1:].partition("/")[0] in _PUBLIC_SEGMENTS else Need.PAGE
    if path.startswith(f"{API}report/"):
        return Need.NOTHING  # authenticated by a signature in its URL
    if path == f"{API}proof":
        return Need.NOTHING  # authenticates the server to a worker, before the worker sends its token
    segment = path.removeprefix(API).partition("/")[0]
    if segment == "login":
        return Need.NOTHING if method == "POST" else Need.VIEWER
    if segment == "sign-in":
        return Need.VIEWER
    if segment == "workers":
        return Need.WORKER
    if segment == "shares":
        return Need.EDITOR
    if segment == "bundles":
        return Need.ANY_CALLER if method == "GET" else Need.EDITOR
    if segment in _VIEWER_SEGMENTS and method in ("GET", "HEAD"):
        return Need.VIEWER
    if segment == "experiments" and not (method == "DELETE" and "purge" in parse_qs(query)):
        return Need.EDITOR
    return Need.OWNER


def allowed(caller: Caller, needed: Need, path: str) -> bool:
    """Return True if `caller` meets the requirement. A role includes those below it; workers have their own paths."""
    if caller.role == "guest":
        return needed in (Need.VIEWER, Need.PAGE) and _is_of_guest(caller, path)
    if caller.role == "owner" or needed is Need.ANY_CALLER:
        return True
    if needed is Need.WORKER:
        return bool(caller.worker) and path.removeprefix(_WORKERS).partition("/")[0] == caller.worker
    lowest = "viewer" if needed is Need.PAGE else needed.value
    return caller.role in SERVER_ROLES and SERVER_ROLES.index(caller.role) >= SERVER_ROLES.index(lowest)


def _is_of_guest(caller: Caller, path: str) -> bool:
    """Return True if the path belongs to the one experiment of a guest."""
    is_page = not path.startswith(API)
    parts = path.removeprefix("/" if is_page else API).split("/")
    if len(parts) < 2 or parts[0] != "experiments" or parts[1] not in (caller.experiment, caller.handle):
        return False
    return is_page or (parts[2] if len(parts) > 2 else "") in _GUEST_SEGMENTS


class AccessMiddleware:
    """The middleware that authenticates and authorizes requests, and puts the caller into their state."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context
        self._requests = CallerLimits()
        self._audited = AuditedRequests()
        self._exports = KeyedSemaphores(MAX_EXPORTS_PER_CALLER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        needed = Need.NOTHING
        if scope["type"] == "http":
            needed = need(scope["method"], scope["path"], scope["query_string"].decode("latin-1"))
        if needed is Need.NOTHING:
            await self._without_caller(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except UnknownToken:
            if needed is not Need.PAGE:
                raise
            await _to_sign_in(scope)(scope, receive, send)
            return
        scope["state"]["principal"] = caller  # for the audit log, also if the request is refused
        if not allowed(caller, needed, scope["path"]):
            if caller.role == "guest" and needed is Need.PAGE:  # the user may have a token to sign in with
                await _to_sign_in(scope)(scope, receive, send)
                return
            raise _denied(caller, needed, scope["path"])
        if needed in (Need.EDITOR, Need.OWNER) and scope["method"] not in cookies.SAFE:
            refuse(self.context.core)
        scope["state"]["caller"] = caller
        check = self._check_again(scope, needed)
        scope["state"]["check_again"] = check
        receive = _checked_when_complete(receive, check)
        if caller.role != "worker":
            send = self._while_authenticated(scope, _with_version(send))
        key = set_caller(caller)
        if key:
            self._audited.count(key, scope["method"], scope["path"])
        is_export = key and _EXPORT.fullmatch(scope["path"])
        counted = self._requests.add_request_of(caller, key, is_waiting=_is_waiting(scope))
        try:
            if is_export:
                async with self._exports.of(key):
                    await self.app(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            for each in counted:
                self._requests.remove(each)

    async def _without_caller(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            set_address(caller_address(scope, self.context.proxies))
        await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        token = _bearer(scope)
        if not token:
            return await self._session(scope)
        if _checks_its_worker(scope) and (worker := signed_worker(self.context.core, token)):
            return worker
        caller = self.context.callers.get(token)
        if caller is None:
            core = self.context.core
            revocations = self.context.callers.revocations
            caller = await self.context.hot(authenticate.authenticate, core, token)
            if caller is not None and caller.check_due:
                caller = await self._checked(authenticate.authenticate, caller, token)
            elif caller is None and not token.startswith(LOGIN_PREFIX):
                caller = await self.context.identify(token, caller_address(scope, self.context.proxies))
            if caller is None:
                self.context.callers.reject(token)
                raise self._unknown(scope, token)
            self.context.callers.remember(token, caller, revocations)
        return replace(caller, name=_sent_name(scope) or caller.name) if caller.shared else caller

    async def _checked(
        self, authenticate_again: Callable[[Core, str], Caller | None], caller: Caller, token: str
    ) -> Caller | None:
        """Ask the identity provider again about a caller, and return them as they are now; None if it refuses."""
        await self.context.check_sign_in(caller.source)
        return await self.context.hot(authenticate_again, self.context.core, token)

    def _unknown(self, scope: Scope, token: str) -> OrchestuneError:
        """Return the error for an unknown token, after noting it for the audit log and counting it for the throttle."""
        notes_of(scope).add(AuditKind.TOKEN_FAILED, f"{scope['method']} {scope['path']}")
        address = caller_address(scope, self.context.proxies)
        return self.context.failures.refusal(address, self._unknown_token(token))

    def _unknown_token(self, token: str) -> UnknownToken:
        if token.startswith(LOGIN_PREFIX):
            return UnknownToken("the sign-in has ended", "sign in again: `orchestune login`")
        return UnknownToken("the token is unknown", self._token_hint)

    @property
    def _token_hint(self) -> str:
        if self.context.core.single_sign_on is None:
            return _TOKEN_HINT
        return f"sign in with `orchestune login {self.context.core.url}`, or {_TOKEN_HINT}"

    async def _session(self, scope: Scope) -> Caller:
        """Return the caller of a browser session. Unsafe methods are accepted from this server's own pages only."""
        host = self.context.core.pages_host
        token = cookies.session_token(scope) if not host or cookies.host_name(scope) == host else ""
        if not token:
            raise UnknownToken("a token is missing", self._token_hint)
        caller = self.context.callers.get(token)
        if caller is None:
            revocations = self.context.callers.revocations
            caller = await self.context.hot(authenticate.session_of, self.context.core, token)
            if caller is not None and caller.check_due:
                caller = await self._checked(authenticate.session_of, caller, token)
            if caller is None:
                self.context.callers.reject(token)
                raise UnknownToken("the session has ended", "sign in again: `orchestune ui`")
            self.context.callers.remember(token, caller, revocations)
        if scope["method"] not in cookies.SAFE and not cookies.from_our_pages(scope, self.context.core.url):
            raise Denied("another site sent this request with your session", "use the pages of this server")
        return caller

    def _check_again(self, scope: Scope, needed: Need) -> Callable[[], Awaitable[None]]:
        """Return a check that authenticates the caller again if the last time is more than `SLOW_SECONDS` ago."""
        authenticated_at = time.monotonic()

        async def check() -> None:
            nonlocal authenticated_at
            if time.monotonic() - authenticated_at <= SLOW_SECONDS:
                return
            caller = await self._caller(scope)
            if not allowed(caller, needed, scope["path"]):
                raise _denied(caller, needed, scope["path"])
            scope["state"]["caller"] = caller
            authenticated_at = time.monotonic()

        return check

    def _while_authenticated(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to end an event stream when the session or token of its caller expires or is revoked.

        A page that stays open all day would outlive them otherwise.
        """
        is_stream = False

        async def sending(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                kind = dict(message.get("headers", ())).get(b"content-type", b"")
                is_stream = kind.startswith(b"text/event-stream")
            elif is_stream:
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


def _checked_when_complete(receive: Receive, check: Callable[[], Awaitable[None]]) -> Receive:
    """Wrap `receive` to check the caller again once the body is complete, before anything is done.

    A body of 4 MiB may take an hour. A token that is revoked meanwhile could still create an experiment otherwise.
    """

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            await check()
        return message

    return receiving


def _with_version(send: Send) -> Send:
    """Wrap `send` to add the server's version to responses, so that clients detect a mismatch without asking."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _VERSION]
        await send(message)

    return sending


def _to_sign_in(scope: Scope) -> Response:
    address = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return RedirectResponse(f"/sign-in?{urlencode({'next': address})}" if address != "/" else "/sign-in", 303)


def _denied(caller: Caller, needed_role: Need, path: str) -> Denied:
    if caller.role == "worker" or needed_role is Need.WORKER:
        return Denied(f"the token of {caller.name} gives no access to {path}")
    if caller.role == "guest":
        return Denied("this link gives access to one experiment only", "sign in: `orchestune ui`")
    role = _with_article(needed_role.value)
    text = f"{caller.name} is {_with_article(caller.role)} of this server (expected {role})"
    return Denied(text, f"ask for access as {role}")


def _with_article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def _checks_its_worker(scope: Scope) -> bool:
    """Return True if the route itself reads the worker's row, and refuses a worker that has ended.

    After a restart, thousands of workers make their first call at once: a read for each would double its cost.
    """
    path: str = scope["path"]
    return path.startswith(_WORKERS) and path[len(_WORKERS) :].partition("/")[2] in ("work", "register")


def _is_waiting(scope: Scope) -> bool:
    """Return True if the request is for a stream or a long poll, so it may be in progress without doing anything."""
    if scope["method"] != "GET":
        return False
    return "text/event-stream" in header(scope, b"accept") or b"wait=" in scope["query_string"]


def _sent_name(scope: Scope) -> str:
    text = unquote(header(scope, USER_HEADER).strip())
    return text if len(text) <= 200 and text.isprintable() else ""


def _bearer(scope: Scope) -> str:
    scheme, _, token = header(scope, b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
