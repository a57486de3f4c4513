"""The middleware that limits request bodies, converts errors into responses, and logs slow requests."""

from __future__ import annotations

import logging
import re
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestune.errors import ERROR_HEADER, BadInput, OrchestuneError, StoreDamaged, StoreUnavailable, TooLarge
from orchestune.server.access import API
from orchestune.server.caller_limits import BodyMemory, UnreadMemory, key_of
from orchestune.server.context import Context
from orchestune.server.pages.render import refused
from orchestune.server.peers import OtherUser
from orchestune.server.readiness import NotReady
from orchestune.services.core import Caller

logger = logging.getLogger("orchestune.server")

MEBIBYTE = 2**20
FORM_LIMIT = 2**16
JSON_LIMIT = MEBIBYTE
REPORT_LIMIT = MEBIBYTE
WORK_LIMIT = 2 * MEBIBYTE
CREATE_LIMIT = 4 * MEBIBYTE  # carries the results of a warm start, up to 3 MiB (`domain.warm_start`)
PART_LIMIT = 4 * MEBIBYTE
STREAM_LIMIT = 4096 * MEBIBYTE  # streamed, never in memory as a whole
UNCOUNTED_BYTES = 2**16  # `BodyMemory` does not count the start of a body, so that heartbeats are always accepted
PIECE = 2**18
"""bytes of a response that are passed on at once; the connection buffers a whole one, however slow its client is"""
_ANY_METHOD = ""
_NO_CALLER = "no caller"
_LIMITS: tuple[tuple[str, re.Pattern[str], int], ...] = (
    ("POST", re.compile(rf"{API}workers/[^/]*/work"), WORK_LIMIT),  # most calls by far, so it is compared first
    ("PUT", re.compile(rf"{API}bundles/.*"), STREAM_LIMIT),
    ("POST", re.compile(rf"{API}archive"), STREAM_LIMIT),
    ("PUT", re.compile(rf"{API}workers/[^/]*/uploads/.*"), PART_LIMIT),
    # one document with all stored files of a trial
    ("POST", re.compile(rf"{API}workers/[^/]*/artifacts"), PART_LIMIT),
    # 1 MiB of base64 within a JSON document
    ("PUT", re.compile(rf"{API}(workers/[^/]*|experiments/.*)/terminal"), WORK_LIMIT),
    ("POST", re.compile(rf"{API}experiments"), CREATE_LIMIT),
    (_ANY_METHOD, re.compile(rf"{API}report/.*"), REPORT_LIMIT),
    (_ANY_METHOD, re.compile(rf"{API}.*"), JSON_LIMIT),
    (_ANY_METHOD, re.compile(r".*", re.DOTALL), FORM_LIMIT),  # pages and probes, also unauthenticated
)
"""method, path and maximum body size in bytes; the first match applies"""
_NO_STORE = (b"cache-control", b"no-store")
"""default of responses without this header: some shared caches store responses with names such as style.css"""
LOG_INTERVAL_SECONDS = 60.0
"""minimum interval between log entries about the same problem of the store, which may affect many requests"""


class Internal(OrchestuneError):
    """An unexpected error of the server."""

    code = "internal"


def limit(method: str, path: str) -> int:
    """Return the maximum body size of a request to this route, in bytes. Reads have none: it would take memory."""
    if method in ("GET", "HEAD"):
        return 0
    return next(
        max_bytes for verb, pattern, max_bytes in _LIMITS if verb in (method, _ANY_METHOD) and pattern.fullmatch(path)
    )


class Boundary:
    """The middleware. An error after the start of a response closes the connection: the client sees the truncation."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context
        self._bodies, self._unread = BodyMemory(), UnreadMemory()
        self._logged: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._bodies, self._unread)
        scope.setdefault("state", {})
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as exc:
            if exchange.status:
                raise
            response = refused(scope, self._client_error(exc, scope))
            if isinstance(exc, OtherUser):
                response.headers["Connection"] = "close"
            if scope["method"] == "HEAD":
                response.headers[ERROR_HEADER] = bytes(response.body).decode()
            await response(scope, receive, exchange.send)
        finally:
            exchange.release()
        seconds = exchange.seconds - scope["state"].get("waited", 0.0)
        if seconds > self.context.pace.slow:
            entry = {"method": scope["method"], "path": scope["path"], "status": exchange.status}
            logger.warning("slow request", extra={**entry, "seconds": round(seconds, 3)})

    def _client_error(self, exc: Exception, scope: Scope) -> OrchestuneError:
        """Return the error to send to the client, and log details for the operator."""
        if isinstance(exc, StoreUnavailable | StoreDamaged) and not self.context.draining.begun:
            self._log_problem(exc)
        if isinstance(exc, StoreUnavailable) and not isinstance(exc, NotReady) and "principal" not in scope["state"]:
            return NotReady("the server is temporarily unavailable", "retry in a moment; its log has the reason")
        if isinstance(exc, OrchestuneError):
            return exc
        if isinstance(exc, UnicodeEncodeError):  # raised by the store for lone surrogates
            surrogate = exc.object[exc.start : exc.end]
            return BadInput.one(f"unpaired surrogate: {surrogate!r} (expected valid Unicode)")
        logger.error("%s %s failed", scope["method"], scope["path"], exc_info=exc)
        return Internal("internal error of the server", "see its log, and report the error")

    def _log_problem(self, error: StoreUnavailable | StoreDamaged) -> None:
        """Log a warning for the operator: workers retry silently, and users see only their own request."""
        now = time.monotonic()
        self._logged = {text: at for text, at in self._logged.items() if now - at < LOG_INTERVAL_SECONDS}
        if self._logged.setdefault(error.message, now) == now:
            effect = "are delayed" if isinstance(error, StoreUnavailable) else "fail"
            logger.warning("requests %s: %s (%s)", effect, error.message, error.hint or "retry later")


class _Exchange:
    """A request and its response: counts the bodies' bytes and measures the server's own time to the response start."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, bodies: BodyMemory, unread: UnreadMemory) -> None:
        self.status = 0
        self.seconds = 0.0
        self._receive, self._send = receive, send
        self._max_bytes = limit(scope["method"], scope["path"])
        self._content_length = _content_length(scope)
        self._counted = 0
        self._scope, self._bodies, self._unread = scope, bodies, unread
        self._start: Message | None = None
        """the start of the response until its body begins, which may still be refused"""
        self._counted_in_memory: tuple[str, int] = ("", 0)
        self._started = time.monotonic()

    async def receive(self) -> Message:
        if self._content_length > self._max_bytes:
            raise self._too_large()
        started = time.monotonic()
        message = await self._receive()
        if message["type"] == "http.request":
            self._started += time.monotonic() - started  # exclude the time spent waiting for the client
            self._counted += len(message.get("body", b""))
            if self._counted > self._max_bytes:
                raise self._too_large()
            if self._max_bytes < STREAM_LIMIT:
                self._hold()
        return message

    def _hold(self) -> None:
        """Count the received part of the body as held in memory."""
        if self._counted <= UNCOUNTED_BYTES:
            return
        _, held = self._counted_in_memory
        more = self._counted - UNCOUNTED_BYTES - held
        if more > 0:
            self._bodies.hold(self._body_key, more)
            self._counted_in_memory = self._body_key, held + more

    @property
    def _caller(self) -> Caller | None:
        caller: Caller | None = self._scope["state"].get("caller")
        return caller

    @property
    def _key(self) -> str:
        return _NO_CALLER if self._caller is None else key_of(self._caller)

    @property
    def _body_key(self) -> str:
        """The caller by whom bodies in memory are counted: workers of an experiment together, as it may have many."""
        caller = self._caller
        return f"workers of {caller.experiment}" if caller is not None and caller.role == "worker" else self._key

    def release(self) -> None:
        """Release the body's memory count at the end of the request."""
        if self._counted_in_memory[1]:
            self._bodies.release(*self._counted_in_memory)
            self._counted_in_memory = "", 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if len(body) <= UNCOUNTED_BYTES:
            await self._begin()
            await self._send(message)
            return
        caller = self._caller
        token = caller.source if caller is not None and caller.shared else ""
        with self._unread.hold(self._key, token, len(body)):
            await self._begin()
            for begin in range(0, len(body), PIECE):
                await self._send({**message, "body": body[begin : begin + PIECE], "more_body": True})
            if not more:
                # waits for the client like each `send` after the first; the request is in progress until then
                await self._send({**message, "body": b""})

    async def _begin(self) -> None:
        """Send the start of the response, if it has not been sent."""
        if self._start is None:
            return
        message, self._start = self._start, None
        self.status = message["status"]
        self.seconds = time.monotonic() - self._started
        if not any(name == b"cache-control" for name, _ in message["headers"]):
            message["headers"] = [*message["headers"], _NO_STORE]
        await self._send(message)

    def _too_large(self) -> TooLarge:
        if not self._max_bytes:
            return TooLarge(f"a {self._scope['method']} request must not have a body", "send it without a body")
        max_size = (
            f"{self._max_bytes // MEBIBYTE} MiB" if self._max_bytes >= MEBIBYTE else f"{self._max_bytes // 1024} KiB"
        )
        return TooLarge(f"the body is too large (expected at most {max_size})")


def _content_length(scope: Scope) -> int:
    """Return the announced length, capped: `int` rejects numbers of thousands of digits, which are too large anyway."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value) if len(value) < 20 else 10**20
    return 0
