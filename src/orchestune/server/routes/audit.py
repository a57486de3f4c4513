"""The audit log, for owners."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.server import routers, streams
from orchestune.server.answers import answer
from orchestune.server.parameters import Here
from orchestune.server.streams import Batch, Item, RowSource
from orchestune.services import audit as service

router = routers.of_clients("server")

After = Annotated[int | None, Query(ge=0, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=1000)]
_EVENTS = 100  # rows that a stream reads at once


@router.get("/audit", response_model=documents.AuditPage)
async def audit(
    context: Here, request: Request, after: After = None, limit: Limit = 100, since: str | None = None
) -> Response:
    """List security events: the newest ones since `since`, or those behind `after`, the oldest first. Only for owners.

    With `Accept: text/event-stream` a stream, resumed by `Last-Event-ID`.
    """
    first = await context.cold(service.page, context.core, after, limit, since)
    if not streams.wants_stream(request):
        return answer({"items": first["items"], "next": first["next"]})

    def read(cursor: int | None) -> Batch:  # None: the first page, which has been read already
        page = first if cursor is None else service.page(context.core, cursor, _EVENTS)
        items = [Item(event["seq"], event["kind"], event) for event in page["items"]]
        return Batch(items, page["next"], len(items) >= _EVENTS, page["over"])

    begin = min(streams.resumed(request, 0), 2**31 - 1) or None
    return await streams.stream(context, RowSource(service.TOPIC, read), lambda: read(begin))
