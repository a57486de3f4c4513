"""The two ends of a trial's terminal, which exchange input and output by long polls."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable

from fastapi import Request, Response

from orchestune import documents
from orchestune.errors import BadInput
from orchestune.server import requests, routers
from orchestune.server.answers import answer
from orchestune.server.context import Context
from orchestune.server.parameters import RequestCaller, RequestContext
from orchestune.server.terminals import Pipe
from orchestune.services.access import terminals

router = routers.of_clients("trials", "/experiments/{ref}/terminal")
of_workers = routers.of_trials("/workers/{worker}/terminal", "workers")


@router.put("", response_model=documents.TerminalAnswer)
async def user(
    context: RequestContext, caller: RequestCaller, request: Request, ref: str, body: requests.TerminalRequest
) -> Response:
    """Serve the user's end: store `data` as typed, or return the output after `after`."""
    attempt = await context.cold(terminals.of_user, context.core, ref, body.attempt, caller)
    terminal = context.terminals.of(body.attempt, attempt.worker, attempt.accepts_result)
    terminal.size = body.size or terminal.size
    terminal.is_disconnected = terminal.is_disconnected or body.over is not None

    def has_ended() -> bool:
        return terminal.code is not None

    if body.after is None:
        return answer(await _put(context, request, body, terminal.to_trial, has_ended))
    chunk = await _take(context, request, body, terminal.to_user, has_ended)
    return answer(chunk | {"over": None if chunk["data"] else terminal.code})


@of_workers.put("", response_model=documents.TerminalAnswer)
async def trial(context: RequestContext, request: Request, worker: str, body: requests.TerminalRequest) -> Response:
    """Serve the trial's end: store `data` as output, or return what was typed after `after`."""
    await context.working(terminals.of_worker, context.core, worker, body.attempt)
    terminal = context.terminals.of(body.attempt, worker)
    terminal.code = terminal.code if body.over is None else body.over
    if body.after is None:
        return answer(await _put(context, request, body, terminal.to_user, lambda: False))

    def has_news() -> bool:
        return terminal.is_disconnected or terminal.size not in (None, body.size)

    chunk = await _take(context, request, body, terminal.to_trial, has_news)
    return answer(
        chunk | {"size": terminal.size, "over": 0 if terminal.is_disconnected and not chunk["data"] else None}
    )


async def _put(
    context: Context, request: Request, body: requests.TerminalRequest, pipe: Pipe, is_closed: Callable[[], bool]
) -> documents.TerminalAnswer:
    try:
        data = base64.b64decode(body.data, validate=True)
    except binascii.Error as exc:
        raise BadInput.one(f"invalid base64: {exc}", key="data") from exc
    if data:
        await _until(context, request, body, lambda: not pipe.is_full or is_closed())
    pipe.put(body.at, data)
    context.core.signals.notify(_topic(body))
    return {"next": pipe.end}


async def _take(
    context: Context, request: Request, body: requests.TerminalRequest, pipe: Pipe, has_news: Callable[[], bool]
) -> documents.TerminalAnswer:
    after = body.after or 0
    if pipe.take(after):
        context.core.signals.notify(_topic(body))  # the sender may be waiting for room in the buffer
    await _until(context, request, body, lambda: pipe.end != after or has_news())
    data = pipe.take(after)
    return {"data": base64.b64encode(data).decode(), "next": after + len(data)}


async def _until(
    context: Context, request: Request, body: requests.TerminalRequest, is_met: Callable[[], bool]
) -> None:
    """Wait until `is_met` returns True, the caller's timeout expires or the server drains."""
    signals, started = context.core.signals, time.monotonic()
    while not is_met() and not context.draining.begun and (remaining := started + body.wait - time.monotonic()) > 0:
        version = signals.version(_topic(body))
        if not is_met():
            await context.draining.race(signals.wait(_topic(body), version, remaining))
    request.state.waited = time.monotonic() - started


def _topic(body: requests.TerminalRequest) -> str:
    return f"terminal:{body.attempt}"
