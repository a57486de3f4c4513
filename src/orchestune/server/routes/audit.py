"""The audit log, for owners."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.server import routers, streams
from orchestune.server.answers import answer
from orchestune.server.parameters import RequestContext
from orchestune.server.streams import Batch, Item, RowSource
from orchestune.services import audit as service

router = routers.of_clients("server")

EventCursor = Annotated[int | None, Query(ge=0, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=1000)]
_BATCH_ROWS = 100  # rows that a stream reads at a time


@router.get("/audit", response_model=documents.AuditPage)
async def audit(
    context: RequestContext, request: Request, after: EventCursor = None, limit: Limit = 100, since: str | None = None
) -> Response:
    """List security events, for owners: the newest ones since `since`, or those after `after`, oldest first.

    With `Accept: text/event-stream` it is a stream, which `Last-Event-ID` resumes.
    """
    first = await context.cold(service.page, context.core, after, limit, since)
    if not streams.wants_stream(request):
        return answer({"items": first["items"], "next": first["next"]})

    def read(cursor: int | None) -> Batch:  # None: the first page, which has been read already
        page = first if cursor is None else service.page(context.core, cursor, _BATCH_ROWS)
        items = [Item(event["seq"], event["kind"], event) for event in page["items"]]
        return Batch(items, page["next"], len(items) >= _BATCH_ROWS, page["over"])

    begin = min(streams.resumed(request, 0), 2**31 - 1) or None
    return await streams.stream(context, RowSource(service.TOPIC, read), lambda: read(begin))
