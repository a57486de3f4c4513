"""The live stream of a page: documents as they change, and log lines of trials. It can be resumed.

All documents are sent first, then those that change, at most once a second.

Idea: pages with the same view share one reader (`LiveView.key`) and one journal of numbered changes
(`change_journal`). The id of an event is its position in the journal and in the log, so a browser that reconnects with
`Last-Event-ID` gets exactly what it missed; a position of another journal (the server was restarted) starts again with
all documents.

Invariants: a read happens only after a signal of the view's topic, or after `every` seconds for documents that change
without one; however many pages are open, reads take a bounded share of the time (`server.shared_reads`). A ping tells a
page that the stream is alive: a page that hears nothing marks itself as stale.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace

from fastapi import Request, Response

from orchestune.server.answers import encoded, encoded_in_parts
from orchestune.server.change_journal import Journal, JournalRead, LogEvents, StreamPosition
from orchestune.server.context import Context
from orchestune.server.streams import OPENING, Batch, read_chunks, sent
from orchestune.services.queries import read_logs

_PING = b"event: ping\ndata: {}\n\n"
"""an event and not a comment, which a page could not receive: it must know that the stream is alive"""
_MAX_CHUNKS_PER_READ = 200
"""maximum of log chunks per read"""
_MAX_MISSED_CHUNKS = 2000
"""maximum of missed log chunks that a resumed stream with a tail still sends; beyond that it starts with the tail"""


@dataclass(frozen=True)
class LogSource:
    """Log chunks of trials: `read(after, limit, tail)` returns those after a cursor, `end()` the last cursor."""

    key: str
    topic: str
    read: Callable[[int, int, int | None], Batch]
    end: Callable[[], int]
    after: int | None = None
    """cursor to start after"""
    tail: int | None = None
    """approximate number of lines to start with if there is no cursor; None: new lines only"""


@dataclass(frozen=True)
class LiveView:
    """The documents that a page shows, by name; pages with the same `key` share reads."""

    key: str
    topic: str
    read: Callable[[], Mapping[str, object]]
    every: float = float("inf")
    """seconds between reads without a signal, for documents that change without one"""
    kind: Callable[[str], str] = lambda name: "status"
    """type of the event for the document of this name"""
    log: LogSource | None = None
    has_logs: bool = False
    """True if a document contains logs, whose storage may hang: such reads have threads of their own"""


def log_of(context: Context, experiment: str, trial: int | None, after: int | None, tail: int | None) -> LogSource:
    """Return the log output of an experiment, or of one trial."""
    core = context.core
    return LogSource(
        key=f"{experiment} {trial}",
        topic=f"logs:{experiment}",
        read=lambda cursor, limit, tail: read_chunks(core, experiment, cursor, limit, trial, None, tail),
        end=lambda: read_logs.end(core, experiment),
        after=after,
        tail=tail,
    )


async def stream(context: Context, request: Request, view: LiveView, after: str = "") -> Response:
    """Respond with a stream of events.

    There is one per document and `gone` for a deleted one, both by the journal, `ready` when all current documents were
    sent, and `log` with new output.

    The stream does not end while what it shows exists: a finished experiment may be extended. The first read precedes
    the response, so that errors have their HTTP status. `after` or `Last-Event-ID`: id of the last event received.
    """
    position = StreamPosition.parse(request.headers.get("last-event-id", "").strip() or after)
    snapshot = await _read(context, view)
    return sent(_follow(context, view, snapshot, position))


async def _read(context: Context, view: LiveView) -> JournalRead:
    """Read the documents, or share the recent read of another page.

    Returns them with the version before that read: later changes are still pending for this page.
    """

    def encode() -> dict[str, bytes]:  # in a thread, since a document may have 16 MiB
        return {name: _block(view.kind(name), encoded_in_parts(document)) for name, document in view.read().items()}

    async def read() -> JournalRead:
        version = context.core.signals.version(view.topic)
        events = await (context.reading_logs_in_turn if view.has_logs else context.streaming_in_turn)(encode)
        journal = context.journals.of(view.key)
        journal.update(events)
        for evicted in context.journals.evict():
            context.views.forget(evicted)
        return JournalRead(version, journal)

    # the turn bounds the reads of one caller, `..._in_turn` the threads of all
    async with context.log_turn() if view.has_logs else context.stream_turn():
        return await context.views.read(view.key, context.pace.shared, read)


def _event(kind: str, document: object) -> bytes:
    return _block(kind, encoded(document))


def _block(kind: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


async def _follow(
    context: Context, view: LiveView, snapshot: JournalRead, position: StreamPosition | None
) -> AsyncGenerator[bytes, None]:
    pace, signals, draining, log = context.pace, context.core.signals, context.draining, view.log
    in_process = context.core.store.in_process
    max_wait = min(view.every, pace.ping if in_process else min(pace.poll, pace.ping))
    with context.open_pages.one_more():
        yield OPENING
        read_at = checked_at = sent_at = time.monotonic()
        log_events, skipped = await _begin(context, log, position) if log is not None else (None, b"")
        is_first = True
        while not draining.begun:
            events, is_complete, position = _new_events(snapshot.journal, position, log_events)
            if log is not None and log_events is not None:
                log_events = await _log_events(context, log, log_events.next)
                position = replace(position, log_cursor=log_events.next)
                events += b"id: %s\n%s" % (str(position).encode(), log_events.event) if log_events.event else b""
            if events or is_first:
                yield skipped + events + _ready(position, is_complete)
                is_first, skipped, sent_at = False, b"", time.monotonic()
            elif time.monotonic() - sent_at >= pace.ping:
                yield _PING
                sent_at = time.monotonic()
            if log_events is None or not log_events.more:
                waits = [signals.wait(view.topic, snapshot.version, max_wait)]
                if log is not None and log_events is not None:
                    waits.append(signals.wait(log.topic, log_events.version, max_wait))
                await draining.race(*waits)
                await draining.race(asyncio.sleep(checked_at + pace.page_interval - time.monotonic()))
            checked_at = time.monotonic()
            if not in_process or snapshot.version != signals.version(view.topic) or checked_at - read_at >= max_wait:
                snapshot, read_at = await _read(context, view), checked_at


def _new_events(
    journal: Journal, position: StreamPosition | None, log_events: LogEvents | None
) -> tuple[bytes, bool, StreamPosition]:
    """Return the events since `position`, True if they are all documents, and the new position.

    All documents are sent if the journal cannot resume from `position`.
    """
    can_resume = position is not None and journal.can_resume(position)
    events = journal.since(position.number if position is not None and can_resume else 0)
    log_cursor = None if log_events is None else log_events.next
    return events, not can_resume, StreamPosition(journal.name, journal.number, log_cursor)


def _ready(position: StreamPosition, is_complete: bool) -> bytes:
    return b"id: %s\n%s" % (str(position).encode(), _event("ready", {"whole": is_complete}))


async def _begin(context: Context, log: LogSource, position: StreamPosition | None) -> tuple[LogEvents, bytes]:
    """Return the start of the log, and a `skipped` event if too many chunks were missed to send them all."""
    after = position.log_cursor if position is not None and position.log_cursor is not None else log.after
    end = await context.streaming(log.end)
    if after is not None and (log.tail is None or end - after <= _MAX_MISSED_CHUNKS):
        return LogEvents(after), b""
    skipped = b"" if after is None else b"event: skipped\ndata: {}\n\n"
    return LogEvents(end if log.tail is None else 0), skipped


async def _log_events(context: Context, log: LogSource, after: int) -> LogEvents:
    tail = log.tail if after == 0 else None

    async def read() -> LogEvents:
        version = context.core.signals.version(log.topic)
        batch = await context.reading_logs_in_turn(log.read, after, _MAX_CHUNKS_PER_READ, tail)
        chunks = [item.document for item in batch.items]
        return LogEvents(batch.next, version, _event("log", {"items": chunks}) if chunks else b"", batch.more)

    async with context.log_turn():  # not within the shared read: others would wait for the turn of this caller
        return await context.log_chunks.read(f"{log.key} {after} {tail}", context.pace.shared, read)
