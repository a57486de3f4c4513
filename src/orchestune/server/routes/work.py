"""The hot route `work`, which every worker calls all the time, and the shortcut past the framework to it.

After a restart of the server, thousands of workers connect at once: each asks for a proof, then registers or works.
"""

from __future__ import annotations

import time

from fastapi import Request, Response
from msgspec.structs import replace
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestune.server.context import Context
from orchestune.server.decoding import LARGE_BODY_BYTES
from orchestune.server.receiving import client_disconnect
from orchestune.server.routes import proof, workers
from orchestune.services.core import Caller
from orchestune.services.execution import worker_call as service
from orchestune.wire.answers import WorkAnswer, encode
from orchestune.wire.work import decode

MAX_WAIT_SECONDS = 30.0
WATCHED_SECONDS = 3.0
"""an experiment is watched if a stream has waited for its events or logs within this time: in between it reads them"""
_PREFIX = "/api/v1/workers/"
_SLASH_COUNT = f"{_PREFIX}/work".count("/")


async def work(request: Request) -> Response:
    """Apply a worker's report. Delay the response until there are leases or orders, for at most the requested wait."""
    context: Context = request.app.state.context
    caller: Caller = request.state.caller
    worker: str = request.path_params["worker"]
    data = await request.body()
    is_large = len(data) >= LARGE_BODY_BYTES  # it may name 1,000 attempts, each of which costs an SQL statement
    if is_large:
        async with context.worker_turns.of(worker):
            call = await context.working(decode, data)
    else:
        call = decode(data)
    apply = context.working if is_large else context.hot
    signals = context.core.signals
    experiment, started = caller.experiment, time.monotonic()
    max_wait = min(call.wait, MAX_WAIT_SECONDS) if call.want > 0 else 0.0
    while True:
        version = signals.version(f"work:{experiment}") if experiment else None
        async with context.worker_turns.of(worker):
            answer, experiment = await apply(service.work, context.core, worker, call)
        remaining = started + max_wait - time.monotonic()
        if remaining <= 0 or context.draining.begun or answer.has_news:
            return _response(context, worker, experiment, answer)
        call = call.as_poll()
        if version is not None:
            wait_started = time.monotonic()
            if await _wait(context, request, f"work:{experiment}", version, remaining):
                signals.offer(f"work:{experiment}", 1)  # pass the wake-up on to another worker
                return _response(context, worker, experiment, answer)
            request.state.waited = getattr(request.state, "waited", 0.0) + time.monotonic() - wait_started


def _response(context: Context, worker: str, experiment: str, answer: WorkAnswer) -> Response:
    signals = context.core.signals
    watched = any(signals.is_awaited(f"{topic}:{experiment}", WATCHED_SECONDS) for topic in ("logs", "events"))
    if pause := context.core.pace.pause(worker, time.monotonic(), watched=watched):
        answer = replace(answer, pause=pause)
    return Response(encode(answer), media_type="application/json")


async def _wait(context: Context, request: Request, topic: str, version: int, seconds: float) -> bool:
    """Wait for news. Return True if the worker disconnected or the server drains: nothing may be leased then."""
    if not context.core.store.in_process:
        seconds = min(seconds, context.pace.poll)
    is_disconnected = False

    async def watch() -> None:
        nonlocal is_disconnected
        await client_disconnect(request)
        is_disconnected = True

    await context.draining.race(context.core.signals.wait(topic, version, seconds), watch())
    return is_disconnected or context.draining.begun


route = Route("/api/v1/workers/{worker}/work", work, methods=["POST"])
"""fallback without `Shortcut`, which rejects other methods"""


class Shortcut:
    """The middleware that calls three routes without the framework's router, which costs more than they do."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        response = None
        if path.startswith(_PREFIX) and scope["method"] == "POST" and path.count("/") == _SLASH_COUNT:
            worker, _, route = path[len(_PREFIX) :].partition("/")
            request = Request(scope, receive, send)
            if route == "work":
                scope["path_params"] = {"worker": worker}
                response = await work(request)
            elif route == "register":
                response = await workers.register(self.context, request, worker)
        elif path == proof.PATH and scope["method"] == "GET":
            response = proof.quick_proof(self.context, scope["query_string"])
        await (response or self.app)(scope, receive, send)
