"""Server-sent events: rows as they come, resumable, until the experiment is over or the server drains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from orchestune.errors import BadInput, NotFound, TemporaryError
from orchestune.server.answers import encoded
from orchestune.server.context import Context
from orchestune.services import read_logs
from orchestune.services.core import Core

OPENING = b"retry: 1000\n\n"
_PING = b": ping\n\n"
_END = b"event: end\ndata: {}\n\n"


class Item(NamedTuple):
    """One row, as an event of a stream; `document` is sent as JSON."""

    id: int
    kind: str
    document: object


@dataclass(frozen=True)
class Batch:
    """Rows that were read at once."""

    items: Sequence[Item]
    next: int
    """the cursor behind them"""
    more: bool
    """more rows are there already"""
    over: bool
    """none will come any more"""


@dataclass(frozen=True)
class Source:
    """What a stream reads: `read(after)` returns the rows behind a cursor."""

    topic: str
    read: Callable[[int], Batch]
    brief: bool = False
    """whether it is read in so little time that a thread beside the event loop costs more: the two take turns at each
    row, where the store is in this process"""
    printed: bool = False
    """whether it is of logs, whose place may hang"""


def wants_stream(request: Request) -> bool:
    """Whether the client asks for a stream instead of a page."""
    return "text/event-stream" in request.headers.get("accept", "")


def resumed(request: Request, after: int) -> int:
    """Where to go on: `Last-Event-ID` of a stream that broke off, else `after`."""
    last = request.headers.get("last-event-id", "").strip()
    if not last:
        return after
    if not last.isdecimal() or len(last) > 18:
        raise BadInput.one(f"{last!r} is no id of an event of this stream", key="Last-Event-ID")
    return int(last)


def read_chunks(
    core: Core, experiment: str, after: int, limit: int, trial: int | None, since: str | None, tail: int | None
) -> Batch:
    """Read what trials print for a stream; see `read_logs.logs`. Blocks."""
    page = read_logs.logs(core, experiment, after, limit, trial, since, tail)
    items = [Item(chunk["cursor"], "log", chunk) for chunk in page["items"]]
    return Batch(items, page["next"], page["more"], page["over"])


async def stream(context: Context, source: Source, first: Callable[[], Batch]) -> Response:
    """Respond with a stream of server-sent events.

    `first` reads the batch to begin with. It is called before the response begins: its errors have their own status.
    """
    version = context.core.signals.version(source.topic)
    batch = await (context.printed if source.printed else context.streaming)(first)
    return sent(_follow(context, source, batch, version))


def sent(blocks: AsyncGenerator[bytes, None]) -> Response:
    """The answer that streams them. It ends where what it tells of is gone, or the store is away: whoever asks again
    hears why.
    """

    async def ending() -> AsyncIterator[bytes]:
        async with aclosing(blocks):
            with suppress(NotFound, TemporaryError):
                async for block in blocks:
                    yield block

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(ending(), headers=headers, media_type="text/event-stream")


async def _follow(context: Context, source: Source, batch: Batch, version: int) -> AsyncGenerator[bytes, None]:
    """Yield batches of events. The next one is read only once the client took the last one: a slow client holds one."""
    pace, signals, draining = context.pace, context.core.signals, context.draining
    reading = context.printed if source.printed else context.streaming
    reading = context.hot if source.brief and context.core.store.inline else reading
    yield OPENING
    read = spoke = time.monotonic()
    while not draining.begun:
        if batch.items:
            yield b"".join(map(_block, batch.items))
            spoke = time.monotonic()
        elif batch.over:
            yield _END
            return
        if not batch.more and not batch.over:
            if time.monotonic() - spoke >= pace.ping:
                yield _PING
                spoke = time.monotonic()
            await draining.race(signals.wait(source.topic, version, min(pace.poll, pace.ping)))
            await draining.race(asyncio.sleep(read + pace.gather - time.monotonic()))
        version, read = signals.version(source.topic), time.monotonic()
        batch = await reading(source.read, batch.next)


def _block(item: Item) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.id, item.kind.encode(), encoded(item.document))
