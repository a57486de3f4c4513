"""Server-sent events: a resumable stream of new rows until the experiment is over or the server drains."""

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
from orchestune.services.core import Core
from orchestune.services.queries import read_logs

OPENING = b"retry: 1000\n\n"  # sent first, with the delay in ms after which a browser reconnects
_PING = b": ping\n\n"
_END = b"event: end\ndata: {}\n\n"


class Item(NamedTuple):
    """A row as an event of a stream; `document` is sent as JSON."""

    id: int
    kind: str
    document: object


@dataclass(frozen=True)
class Batch:
    """Rows returned by one read."""

    items: Sequence[Item]
    next: int
    """cursor after the last row"""
    more: bool
    """True if more rows are available now"""
    over: bool
    """True if no further rows will be added"""


@dataclass(frozen=True)
class RowSource:
    """The data source of a stream: `read(after)` returns the rows after a cursor."""

    topic: str
    read: Callable[[int], Batch]
    brief: bool = False
    """True if a read of few rows is so short that a thread costs more: with the store in this process, the thread and
    the event loop would switch at each row"""
    has_logs: bool = False
    """True for logs, whose storage may hang"""


def wants_stream(request: Request) -> bool:
    """Return True if the client requests a stream instead of a page."""
    return "text/event-stream" in request.headers.get("accept", "")


def resumed(request: Request, after: int) -> int:
    """Return the cursor to resume from: `Last-Event-ID` of an interrupted stream, otherwise `after`."""
    last = request.headers.get("last-event-id", "").strip()
    if not last:
        return after
    if not last.isdecimal() or len(last) > 18:
        raise BadInput.one(f"not an event id of this stream: {last!r}", key="Last-Event-ID")
    return int(last)


def read_chunks(
    core: Core, experiment: str, after: int, limit: int, trial: int | None, since: str | None, tail: int | None
) -> Batch:
    """Read a batch of the trials' log output; see `read_logs.logs`. Blocks."""
    page = read_logs.logs(core, experiment, after, limit, trial, since, tail)
    items = [Item(chunk["cursor"], "log", chunk) for chunk in page["items"]]
    return Batch(items, page["next"], page["more"], page["over"])


async def stream(context: Context, source: RowSource, first: Callable[[], Batch]) -> Response:
    """Respond with a stream of server-sent events.

    `first` reads the first batch. It is called before the response starts, so its errors have their own HTTP status.
    """
    version = context.core.signals.version(source.topic)
    batch = await (context.reading_logs if source.has_logs else context.streaming)(first)
    return sent(_follow(context, source, batch, version))


def sent(blocks: AsyncGenerator[bytes, None]) -> Response:
    """Build the response that streams `blocks`.

    It ends if the subject was deleted or the store is unavailable: the client reconnects and gets the error.
    """

    async def ending() -> AsyncIterator[bytes]:
        async with aclosing(blocks):
            with suppress(NotFound, TemporaryError):
                async for block in blocks:
                    yield block

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(ending(), headers=headers, media_type="text/event-stream")


async def _follow(context: Context, source: RowSource, batch: Batch, version: int) -> AsyncGenerator[bytes, None]:
    """Yield batches of events. The next batch is read only after the client took the last: a slow client holds one."""
    pace, signals, draining = context.pace, context.core.signals, context.draining
    reading = context.reading_logs if source.has_logs else context.streaming
    is_brief = source.brief and context.core.store.in_process
    yield OPENING
    read_at = sent_at = time.monotonic()
    while not draining.begun:
        if batch.items:
            yield b"".join(map(_block, batch.items))
            sent_at = time.monotonic()
        elif batch.over:
            yield _END
            return
        if not batch.more and not batch.over:
            if time.monotonic() - sent_at >= pace.ping:
                yield _PING
                sent_at = time.monotonic()
            await draining.race(signals.wait(source.topic, version, min(pace.poll, pace.ping)))
            await draining.race(asyncio.sleep(read_at + pace.gather - time.monotonic()))
        version, read_at = signals.version(source.topic), time.monotonic()
        # full batches are not brief: many streams from the start would occupy the event loop
        batch = await (context.hot if is_brief and not batch.more else reading)(source.read, batch.next)


def _block(item: Item) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.id, item.kind.encode(), encoded(item.document))
