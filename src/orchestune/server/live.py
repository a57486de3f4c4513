"""Documents that go on: sent whole at first, then whatever has changed, at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from orchestune.server.answers import encoded
from orchestune.server.context import Context
from orchestune.server.shared import Items, Reading
from orchestune.server.streams import OPENING

_READY = b"event: ready\ndata: {}\n\n"
_PING = b"event: ping\ndata: {}\n\n"
"""no comment: a page has to hear that nothing is new"""


@dataclass(frozen=True)
class View:
    """What a page looks at: documents by name; `key` is the same for whoever looks at the same."""

    key: str
    topic: str
    read: Callable[[], Mapping[str, Mapping[str, Any]]]
    every: float = float("inf")
    """seconds after which it is read again though nothing was said: of what changes without a word"""


async def stream(context: Context, view: View) -> Response:
    """The answer that streams `status` for each document, `ready` once all were sent, `gone` for one that went away.

    It never ends by itself: what is over may be extended. The first reading is done before the answer begins, so that
    errors have their status.
    """
    first = await _read(context, view)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_follow(context, view, first), headers=headers, media_type="text/event-stream")


async def _read(context: Context, view: View) -> Reading:
    """With the version before it: what happened since somebody else read is still to come for this page."""

    async def read() -> Reading:
        version = context.core.signals.version(view.topic)
        documents = await context.streaming(view.read)
        return Reading(version, {name: encoded(document) for name, document in documents.items()})

    return await context.shared.read(view.key, context.pace.shared, read)


async def _follow(context: Context, view: View, reading: Reading) -> AsyncIterator[bytes]:
    pace, signals, draining = context.pace, context.core.signals, context.draining
    longest = min(view.every, pace.ping if context.core.store.inline else min(pace.poll, pace.ping))
    with context.audience.watch():
        yield OPENING + _changes({}, reading.items) + _READY
        read = spoke = time.monotonic()
        while not draining.begun:
            await draining.race(signals.wait(view.topic, reading.version, longest))
            await draining.race(asyncio.sleep(read + pace.look - time.monotonic()))
            read, before = time.monotonic(), reading.items
            reading = await _read(context, view)
            news = _changes(before, reading.items)
            if news or read - spoke >= pace.ping:
                yield news or _PING
                spoke = read


def _changes(before: Items, items: Items) -> bytes:
    news = [b"event: status\ndata: %s\n\n" % item for name, item in items.items() if before.get(name) != item]
    news += [b"event: gone\ndata: %s\n\n" % encoded(name) for name in before if name not in items]
    return b"".join(news)
