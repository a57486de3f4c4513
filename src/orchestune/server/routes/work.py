"""The hot route: every worker calls it again and again, so it is decoded and answered by hand."""

from __future__ import annotations

import time

from fastapi import Request, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestune.server.context import Context
from orchestune.server.decoding import LARGE
from orchestune.server.receiving import departure
from orchestune.services.core import Caller
from orchestune.services.execution import worker_call as service
from orchestune.wire.answers import WorkAnswer, encode
from orchestune.wire.work import decode

MAX_WAIT_SECONDS = 30.0
_BEFORE, _BEHIND = "/api/v1/workers/", "/work"
_SLASHES = (_BEFORE + _BEHIND).count("/")


async def work(request: Request) -> Response:
    """Take what a worker brings; hold the answer while there is nothing to say and it is willing to wait."""
    context: Context = request.app.state.context
    caller: Caller = request.state.caller
    worker: str = request.path_params["worker"]
    data = await request.body()
    is_large = len(data) >= LARGE  # it may name a thousand attempts, each of which costs a statement
    if is_large:
        async with context.worker_turns.of(worker):
            call = await context.working(decode, data)
    else:
        call = decode(data)
    apply = context.working if is_large else context.hot
    signals = context.core.signals
    experiment, began = caller.experiment, time.monotonic()
    patience = min(call.wait, MAX_WAIT_SECONDS) if call.want > 0 else 0.0
    while True:
        version = signals.version(f"work:{experiment}") if experiment else None
        async with context.worker_turns.of(worker):
            answer, experiment = await apply(service.work, context.core, worker, call)
        left = began + patience - time.monotonic()
        if left <= 0 or context.draining.begun or answer.has_news:
            return _response(answer)
        call = call.as_poll()
        if version is not None:
            paused = time.monotonic()
            if await _wait(context, request, f"work:{experiment}", version, left):
                signals.offer(f"work:{experiment}", 1)  # what it may have been woken for
                return _response(answer)
            request.state.waited = getattr(request.state, "waited", 0.0) + time.monotonic() - paused


def _response(answer: WorkAnswer) -> Response:
    return Response(encode(answer), media_type="application/json")


async def _wait(context: Context, request: Request, topic: str, version: int, seconds: float) -> bool:
    """Wait for news. Return True if the worker disconnected or the server drains: nothing may be leased then."""
    if not context.core.store.inline:
        seconds = min(seconds, context.pace.poll)
    gone = False

    async def watch() -> None:
        nonlocal gone
        await departure(request)
        gone = True

    await context.draining.race(context.core.signals.wait(topic, version, seconds), watch())
    return gone or context.draining.begun


route = Route("/api/v1/workers/{worker}/work", work, methods=["POST"])
"""Where other methods are refused."""


class Shortcut:
    """The middleware that leads to `work` past the framework's router, which costs as much as the work itself."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        del context  # the other layers need it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else ""
        if path.startswith(_BEFORE) and path.endswith(_BEHIND) and path.count("/") == _SLASHES:
            scope["path_params"] = {"worker": path[len(_BEFORE) : -len(_BEHIND)]}
            response = await work(Request(scope, receive, send))
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)
