"""Server-sent events: rows as they come, resumable, until the experiment is over or the server drains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from orchestune.errors import BadInput, NotFound, TemporaryError
from orchestune.server.answers import encoded
from orchestune.server.context import Context

OPENING = b"retry: 1000\n\n"
_PING = b": ping\n\n"
_END = b"event: end\ndata: {}\n\n"


@dataclass(frozen=True)
class Source:
    """What a stream reads. `read(after)` gives `{"items", "next", "over"}`, at most `limit` rows; and `more` where
    fewer do not mean that these are all.
    """

    topic: str
    limit: int
    read: Callable[[int], Mapping[str, Any]]
    name: Callable[[Mapping[str, Any]], tuple[int, str]]
    """the id and the kind of an item"""
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


async def stream(context: Context, source: Source, first: Callable[[], Mapping[str, Any]]) -> Response:
    """The answer that streams. `first` reads the batch to begin with, before the answer: errors have their status."""
    version = context.core.signals.version(source.topic)
    page = await (context.printed if source.printed else context.streaming)(first)
    return sent(_follow(context, source, page, version))


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


async def _follow(
    context: Context, source: Source, page: Mapping[str, Any], version: int
) -> AsyncGenerator[bytes, None]:
    """Batches of events. The next one is read only when the last one was taken, so a slow client holds one batch."""
    pace, signals, draining = context.pace, context.core.signals, context.draining
    reading = context.printed if source.printed else context.streaming
    reading = context.hot if source.brief and context.core.store.inline else reading
    yield OPENING
    read = spoke = time.monotonic()
    while not draining.begun:
        if page["items"]:
            yield b"".join(_block(source, item) for item in page["items"])
            spoke = time.monotonic()
        elif page["over"]:
            yield _END
            return
        if not page.get("more", len(page["items"]) >= source.limit) and not page["over"]:
            if time.monotonic() - spoke >= pace.ping:
                yield _PING
                spoke = time.monotonic()
            await draining.race(signals.wait(source.topic, version, min(pace.poll, pace.ping)))
            await draining.race(asyncio.sleep(read + pace.gather - time.monotonic()))
        version, read = signals.version(source.topic), time.monotonic()
        page = await reading(source.read, page["next"])


def _block(source: Source, item: Mapping[str, Any]) -> bytes:
    number, kind = source.name(item)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), encoded(item))
