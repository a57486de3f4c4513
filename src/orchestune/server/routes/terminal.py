"""Both ends of a trial's terminal: what was typed and what was printed, by long polls."""

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
from orchestune.server.parameters import Here, Known
from orchestune.server.terminals import Pipe
from orchestune.services.access import terminals

router = routers.of_clients("trials", "/experiments/{ref}/terminal")
of_workers = routers.of_trials("/workers/{worker}/terminal", "workers")


@router.put("", response_model=documents.TerminalAnswer)
async def user(context: Here, caller: Known, request: Request, ref: str, body: requests.TerminalRequest) -> Response:
    """Serve the user's end: store `data` as typed, or return the output after `after`."""
    attempt = await context.cold(terminals.of_user, context.core, ref, body.attempt, caller)
    terminal = context.terminals.of(body.attempt, attempt.worker, attempt.open)
    terminal.size = body.size or terminal.size
    terminal.left = terminal.left or body.over is not None

    def ended() -> bool:
        return terminal.code is not None

    if body.after is None:
        return answer(await _put(context, request, body, terminal.to_trial, ended))
    found = await _take(context, request, body, terminal.to_user, ended)
    return answer(found | {"over": None if found["data"] else terminal.code})


@of_workers.put("", response_model=documents.TerminalAnswer)
async def trial(context: Here, request: Request, worker: str, body: requests.TerminalRequest) -> Response:
    """Serve the trial's end: store `data` as output, or return what was typed after `after`."""
    await context.working(terminals.of_worker, context.core, worker, body.attempt)
    terminal = context.terminals.of(body.attempt, worker)
    terminal.code = terminal.code if body.over is None else body.over
    if body.after is None:
        return answer(await _put(context, request, body, terminal.to_user, lambda: False))

    def news() -> bool:
        return terminal.left or terminal.size not in (None, body.size)

    found = await _take(context, request, body, terminal.to_trial, news)
    return answer(found | {"size": terminal.size, "over": 0 if terminal.left and not found["data"] else None})


async def _put(
    context: Context, request: Request, body: requests.TerminalRequest, pipe: Pipe, in_vain: Callable[[], bool]
) -> documents.TerminalAnswer:
    try:
        data = base64.b64decode(body.data, validate=True)
    except binascii.Error as exc:
        raise BadInput.one(f"is no base64: {exc}", key="data") from exc
    if data:
        await _until(context, request, body, lambda: not pipe.full or in_vain())
    pipe.put(body.at, data)
    context.core.signals.notify(_topic(body))
    return {"next": pipe.end}


async def _take(
    context: Context, request: Request, body: requests.TerminalRequest, pipe: Pipe, news: Callable[[], bool]
) -> documents.TerminalAnswer:
    after = body.after or 0
    if pipe.take(after):
        context.core.signals.notify(_topic(body))  # who waits for room has it, perhaps
    await _until(context, request, body, lambda: pipe.end != after or news())
    data = pipe.take(after)
    return {"data": base64.b64encode(data).decode(), "next": after + len(data)}


async def _until(context: Context, request: Request, body: requests.TerminalRequest, holds: Callable[[], bool]) -> None:
    """Wait for it, as long as the caller would, and the server lives."""
    signals, began = context.core.signals, time.monotonic()
    while not holds() and not context.draining.begun and (left := began + body.wait - time.monotonic()) > 0:
        version = signals.version(_topic(body))
        if not holds():
            await context.draining.race(signals.wait(_topic(body), version, left))
    request.state.waited = time.monotonic() - began


def _topic(body: requests.TerminalRequest) -> str:
    return f"terminal:{body.attempt}"
