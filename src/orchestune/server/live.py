"""Documents that go on, and lines that trials print beside them: one stream for a page, resumed where it broke off.

Documents come whole at first, then whatever has changed, at most once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace

from fastapi import Request, Response

from orchestune.server.answers import encoded
from orchestune.server.context import Context
from orchestune.server.journal import Journal, Lines, Place, Seen
from orchestune.server.streams import OPENING, Batch, read_chunks, sent
from orchestune.services import read_logs

_PING = b"event: ping\ndata: {}\n\n"
"""no comment: a page has to hear that nothing is new"""
_LINES = 200
"""chunks of a log that are read at once"""
_MISSED = 2000
"""chunks that whoever comes back may have missed and is still sent, where a tail would do"""


@dataclass(frozen=True)
class Log:
    """What trials print: `read(after, limit, tail)` returns chunks behind a cursor, `end()` the cursor behind all."""

    key: str
    topic: str
    read: Callable[[int, int, int | None], Batch]
    end: Callable[[], int]
    after: int | None = None
    """begin behind this one"""
    tail: int | None = None
    """or with about so many lines; None: with whatever comes next"""


@dataclass(frozen=True)
class View:
    """What a page looks at: documents by name; `key` is the same for whoever looks at the same."""

    key: str
    topic: str
    read: Callable[[], Mapping[str, object]]
    every: float = float("inf")
    """seconds after which it is read again though nothing was said: of what changes without a word"""
    kind: Callable[[str], str] = lambda name: "status"
    """which event tells of the document of this name"""
    log: Log | None = None
    printed: bool = False
    """whether logs are in it, whose place may hang"""


def log_of(context: Context, experiment: str, trial: int | None, after: int | None, tail: int | None) -> Log:
    """What the trials of an experiment print, or one of them."""
    core = context.core
    return Log(
        key=f"{experiment} {trial}",
        topic=f"logs:{experiment}",
        read=lambda cursor, limit, lines: read_chunks(core, experiment, cursor, limit, trial, None, lines),
        end=lambda: read_logs.end(core, experiment),
        after=after,
        tail=tail,
    )


async def stream(context: Context, request: Request, view: View, after: str = "") -> Response:
    """The answer that streams an event for each document, `gone` for one that went away, `ready` when all that there is
    was sent, and `log` with what was printed.

    It never ends by itself while there is something to look at: what is over may be extended. The first reading is done
    before the answer begins, so that errors have their status. `after`, or `Last-Event-ID`: the id of the last event
    that was heard.
    """
    place = Place.parse(request.headers.get("last-event-id", "").strip() or after)
    seen = await _read(context, view)
    return sent(_follow(context, view, seen, place))


async def _read(context: Context, view: View) -> Seen:
    """With the version before it: what happened since somebody else read is still to come for this page."""

    async def read() -> Seen:
        version = context.core.signals.version(view.topic)
        documents = await (context.printed if view.printed else context.streaming)(view.read)
        journal = context.journals.keep(view.key, context.journals.get(view.key) or Journal())
        journal.take({name: _event(view.kind(name), document) for name, document in documents.items()})
        return Seen(version, journal)

    return await context.seen.read(view.key, context.pace.shared, read)


def _event(kind: str, document: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), encoded(document))


async def _follow(context: Context, view: View, seen: Seen, place: Place | None) -> AsyncGenerator[bytes, None]:
    pace, signals, draining, log = context.pace, context.core.signals, context.draining, view.log
    inline = context.core.store.inline
    longest = min(view.every, pace.ping if inline else min(pace.poll, pace.ping))
    with context.audience.watch():
        yield OPENING
        read = looked = spoke = time.monotonic()
        lines, said = await _begin(context, log, place) if log is not None else (None, b"")
        first = True
        while not draining.begun:
            news, whole, place = _news(seen.journal, place, lines)
            if log is not None and lines is not None:
                lines = await _lines(context, log, lines.next)
                place = replace(place, line=lines.next)
                news += b"id: %s\n%s" % (str(place).encode(), lines.event) if lines.event else b""
            if news or first:
                yield said + news + _ready(place, whole)
                first, said, spoke = False, b"", time.monotonic()
            elif time.monotonic() - spoke >= pace.ping:
                yield _PING
                spoke = time.monotonic()
            if lines is None or not lines.more:
                waits = [signals.wait(view.topic, seen.version, longest)]
                if log is not None and lines is not None:
                    waits.append(signals.wait(log.topic, lines.version, longest))
                await draining.race(*waits)
                await draining.race(asyncio.sleep(looked + pace.look - time.monotonic()))
            looked = time.monotonic()
            if not inline or seen.version != signals.version(view.topic) or looked - read >= longest:
                seen, read = await _read(context, view), looked


def _news(journal: Journal, place: Place | None, lines: Lines | None) -> tuple[bytes, bool, Place]:
    """What is new since `place`, whether that is everything, as nobody knows what was new then, and where it is."""
    known = place is not None and journal.knows(place)
    news = journal.since(place.number if place is not None and known else 0)
    return news, not known, Place(journal.name, journal.number, None if lines is None else lines.next)


def _ready(place: Place, whole: bool) -> bytes:
    return b'id: %s\nevent: ready\ndata: {"whole":%s}\n\n' % (str(place).encode(), b"true" if whole else b"false")


async def _begin(context: Context, log: Log, place: Place | None) -> tuple[Lines, bytes]:
    """Where to read from, and what is to be said first: that lines are left out which are too many by now."""
    after = place.line if place is not None and place.line is not None else log.after
    end = await context.streaming(log.end)
    if after is not None and (log.tail is None or end - after <= _MISSED):
        return Lines(after), b""
    skipped = b"" if after is None else b"event: skipped\ndata: {}\n\n"
    return Lines(end if log.tail is None else 0), skipped


async def _lines(context: Context, log: Log, after: int) -> Lines:
    tail = log.tail if after == 0 else None

    async def read() -> Lines:
        version = context.core.signals.version(log.topic)
        batch = await context.printed(log.read, after, _LINES, tail)
        chunks = [item.document for item in batch.items]
        return Lines(batch.next, version, _event("log", {"items": chunks}) if chunks else b"", batch.more)

    return await context.lines.read(f"{log.key} {after} {tail}", context.pace.shared, read)
