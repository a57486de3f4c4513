"""Idempotent requests: those with an `Idempotency-Key` are processed once."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CancelScope
from fastapi import Response
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestune.errors import StoreUnavailable, TemporaryError, UsageError
from orchestune.server.access import API
from orchestune.server.context import Context
from orchestune.server.keyed_semaphores import KeyedSemaphores
from orchestune.services import idempotency
from orchestune.services.idempotency import IdempotentRequest

logger = logging.getLogger("orchestune.server")

_MAX_KEY_CHARACTERS = 200
_TURN_TIMEOUT_SECONDS = 60.0
"""timeout in seconds for another server that processes a request with the same key"""
_POLL_SECONDS = 0.05
"""poll interval in seconds while another server processes a request with the same key"""
_EXCLUDED_PREFIXES = tuple(API + each for each in ("workers/", "report/", "archive", "sign-in", "login", "tokens"))
"""path prefixes without idempotency keys: routes that are idempotent (an archive is also too large to be kept in
memory), or whose response is a secret, of which only a digest is stored"""


class IdempotentResponses:
    """The middleware that stores successful responses of client routes and replays them for retries.

    Errors are not stored: nothing happened, so the retry is processed. Of two concurrent requests with one key, the
    second waits for the first, even if another server on the same database processes it.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context
        self._turns = KeyedSemaphores()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope) if scope["type"] == "http" and scope["method"] == "POST" else ""
        if not key:
            await self.app(scope, receive, send)
            return
        if len(key) > _MAX_KEY_CHARACTERS:
            raise UsageError(f"the Idempotency-Key is too long (expected at most {_MAX_KEY_CHARACTERS} characters)")
        body = await Request(scope, receive).body()
        caller = scope["state"].get("caller")  # the digest includes the caller: no other one may get the response
        prefix = f"{caller.name if caller else ''}\n{scope['path']}?{scope['query_string'].decode('latin-1')}\n"
        digest = hashlib.sha256(prefix.encode() + body)
        async with self._turns.of(key), self._turn_of_servers(key):
            await self._once(key, digest.hexdigest(), body, scope, receive, send)

    async def _once(self, key: str, digest: str, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        context = self.context
        remembered = await context.cold(idempotency.remembered, context.core, key, digest)
        if remembered is not None:
            status, text = remembered
            headers = {"Idempotent-Replayed": "true"}
            await Response(text.encode(), status, headers, "application/json")(scope, receive, send)
            return
        scope["state"]["asked"] = IdempotentRequest(key, digest)
        response = _BufferedResponse()
        await self.app(scope, _replaying(body, receive), response.send)
        if 200 <= response.status < 300:
            try:
                await context.cold(idempotency.remember, context.core, key, digest, response.status, response.text)
            except TemporaryError:  # the request was processed nevertheless, so report success
                logger.warning("cannot store a response for retries", extra={"path": scope["path"]})
        for message in response.messages:
            await send(message)

    @asynccontextmanager
    async def _turn_of_servers(self, key: str) -> AsyncIterator[None]:
        context, deadline = self.context, time.monotonic() + _TURN_TIMEOUT_SECONDS
        if context.core.store.in_process:  # no other server
            yield
            return
        while not await context.cold(idempotency.take, context.core, key):
            if time.monotonic() > deadline:
                raise StoreUnavailable("another server is still processing the request with this Idempotency-Key")
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            with CancelScope(shield=True):
                await context.cold(idempotency.leave, context.core, key)


class _BufferedResponse:
    """A buffered response that is not sent yet."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"]) if self.messages else 0

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.messages[1:]).decode()


def _key(scope: Scope) -> str:
    path = scope["path"]
    if not path.startswith(API) or path.startswith(_EXCLUDED_PREFIXES) or path.endswith("/shares"):
        return ""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"), "")


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that replays a body which was read already."""
    is_replayed = False

    async def repeated() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return repeated
