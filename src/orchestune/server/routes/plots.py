"""The data of the plots, for pages and notebooks."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Query, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.drawing import shared_document
from orchestune.server.parameters import RequestContext, Where
from orchestune.services.queries import read_columns, read_contour, read_hypervolume

router = routers.of_clients("plots", "/experiments/{ref}")

_MAX_SHARED_TRIALS = 5000
"""larger documents are not cached for other pages"""


@router.get("/columns", response_model=documents.Columns)
async def columns(
    context: RequestContext,
    ref: str,
    limit: Annotated[int, Query(ge=10, le=100_000)] = 4000,
    where: Where = None,
    metric: Annotated[
        str | None, Query(description="metric of the best-so-far column (default: the first one)")
    ] = None,
) -> Response:
    """Return trials as columns. Beyond `limit` trials: the best ones and every k-th of the others."""
    read = partial(read_columns.columns, context.core, ref, limit, where, metric)
    return await shared_document(
        context, f"columns {ref} {limit} {where} {metric!r}" if limit <= _MAX_SHARED_TRIALS else None, read
    )


@router.get("/hypervolume", response_model=documents.Hypervolume)
async def hypervolume(context: RequestContext, ref: str) -> Response:
    """Return the dominated hypervolume after each trial that increased it."""
    read = partial(read_hypervolume.hypervolume, context.core, ref)
    return await shared_document(context, f"hypervolume {ref}", read)


@router.get("/contour", response_model=documents.Contour)
async def contour(context: RequestContext, ref: str, x: str, y: str, metric: str | None = None) -> Response:
    """Return a metric over two parameters: at each point of a grid the mean of the completed trials around it."""
    read = partial(read_contour.contour, context.core, ref, x, y, metric)
    return await shared_document(context, f"contour {ref} {x!r} {y!r} {metric!r}", read)


@router.get("/overview", response_model=documents.Overview)
async def overview(context: RequestContext, ref: str) -> Response:
    """Return the reasons of failures, and the number of running trials over time."""
    read = partial(read_columns.overview, context.core, ref)
    return await shared_document(context, f"overview {ref}", read)


@router.get("/timeline", response_model=documents.Timeline)
async def timeline(context: RequestContext, ref: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 2000) -> Response:
    """Return start, end and node of attempts."""
    read = partial(read_columns.timeline, context.core, ref, limit)
    return await shared_document(context, f"timeline {ref} {limit}", read)


@router.get("/curves", response_model=documents.Curves)
async def curves(
    context: RequestContext, ref: str, metric: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> Response:
    """Return the learning curves of the newest trials and the best one, by default of the first metric."""
    read = partial(read_columns.curves, context.core, ref, metric, limit)
    return await shared_document(context, f"curves {ref} {limit} {metric!r}", read)
