"""Events and logs, as pages or as a stream that ends with the experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.server import routers, streams
from orchestune.server.answers import answer
from orchestune.server.parameters import Cursor, MaybeNumber, RequestContext, Tail
from orchestune.server.streams import Batch, Item, RowSource, read_chunks
from orchestune.services.queries import read_experiments, read_logs

router = routers.of_clients("following", "/experiments/{ref}")

Limit = Annotated[int, Query(ge=1, le=1000)]
Kinds = Annotated[Sequence[str], Query(max_length=20)]

_BATCH_EVENTS = 100
_BATCH_CHUNKS = 100
"""rows that a stream reads at a time; a log chunk may be large, an event takes 10 µs"""
_BATCH_EVENT_BYTES = 2**18
"""of events, which are read on the event loop"""


@router.get("/events", response_model=documents.EventPage)
async def events(
    context: RequestContext, request: Request, ref: str, after: Cursor = 0, limit: Limit = 100, kind: Kinds = ()
) -> Response:
    """Return the events after `after`, optionally of some kinds only.

    With `Accept: text/event-stream` it is a stream, which `Last-Event-ID` resumes.
    """
    if not streams.wants_stream(request):
        page = await context.cold(read_experiments.events, context.core, ref, after, limit, kind)
        return answer({"items": page["items"], "next": page["next"]})
    experiment = await context.streaming(read_experiments.resolve, context.core, ref)

    def read(cursor: int) -> Batch:
        page = read_experiments.events(context.core, experiment, cursor, _BATCH_EVENTS, kind, _BATCH_EVENT_BYTES)
        items = [Item(event["seq"], event["kind"], event) for event in page["items"]]
        return Batch(items, page["next"], page["more"], page["over"])

    begin = streams.resumed(request, after)
    # a filter by kind scans all events, which is not brief
    source = RowSource(f"events:{experiment}", read, brief=not kind)
    return await streams.stream(context, source, lambda: read(begin))


@router.get("/logs", response_model=documents.LogPage)
async def logs(
    context: RequestContext,
    request: Request,
    ref: str,
    after: Cursor = 0,
    limit: Limit = 100,
    trial: MaybeNumber = None,
    since: str | None = None,
    tail: Tail = None,
) -> Response:
    """Return the output of trials in order of arrival, as a page or as a stream like that of events."""
    if not streams.wants_stream(request):
        page = await context.reading_logs(read_logs.logs, context.core, ref, after, limit, trial, since, tail)
        return answer({"items": page["items"], "next": page["next"]})
    experiment = await context.streaming(read_experiments.resolve, context.core, ref)
    begin = streams.resumed(request, after)

    def read(cursor: int, tail: int | None = None) -> Batch:
        return read_chunks(context.core, experiment, cursor, _BATCH_CHUNKS, trial, since, tail)

    # `tail` applies to the first batch only; later ones continue without a gap
    source = RowSource(f"logs:{experiment}", read, has_logs=True)
    return await streams.stream(context, source, lambda: read(begin, tail))
