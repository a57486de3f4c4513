"""The data behind the plots, for pages and notebooks alike."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Query, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.drawing import drawn
from orchestune.server.parameters import Here, Where
from orchestune.services.queries import read_columns, read_contour, read_hypervolume

router = routers.of_clients("plots", "/experiments/{ref}")

_SHARED = 5000
"""trials by columns that are kept for the next page that asks for them; more are too large"""


@router.get("/columns", response_model=documents.Columns)
async def columns(
    context: Here,
    ref: str,
    limit: Annotated[int, Query(ge=10, le=100_000)] = 4000,
    where: Where = None,
    metric: Annotated[str | None, Query(description="whose best values so far; the first one's where none is")] = None,
) -> Response:
    """Trials by columns; where there are more than `limit`, the best ones and every k-th of the others."""
    read = partial(read_columns.columns, context.core, ref, limit, where, metric)
    return await drawn(context, f"columns {ref} {limit} {where} {metric!r}" if limit <= _SHARED else None, read)


@router.get("/hypervolume", response_model=documents.Hypervolume)
async def hypervolume(context: Here, ref: str) -> Response:
    """Return the dominated hypervolume after each trial that increased it."""
    read = partial(read_hypervolume.hypervolume, context.core, ref)
    return await drawn(context, f"hypervolume {ref}", read)


@router.get("/contour", response_model=documents.Contour)
async def contour(context: Here, ref: str, x: str, y: str, metric: str | None = None) -> Response:
    """Return a metric over two parameters: at each point of a grid the mean of the completed trials around it."""
    read = partial(read_contour.contour, context.core, ref, x, y, metric)
    return await drawn(context, f"contour {ref} {x!r} {y!r} {metric!r}", read)


@router.get("/overview", response_model=documents.Overview)
async def overview(context: Here, ref: str) -> Response:
    """Why trials failed, and how many ran over time."""
    read = partial(read_columns.overview, context.core, ref)
    return await drawn(context, f"overview {ref}", read)


@router.get("/timeline", response_model=documents.Timeline)
async def timeline(context: Here, ref: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 2000) -> Response:
    """Return start, end and machine of attempts."""
    read = partial(read_columns.timeline, context.core, ref, limit)
    return await drawn(context, f"timeline {ref} {limit}", read)


@router.get("/curves", response_model=documents.Curves)
async def curves(
    context: Here, ref: str, metric: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> Response:
    """Return the learning curves of the newest trials and the best one, by default of the first metric."""
    read = partial(read_columns.curves, context.core, ref, metric, limit)
    return await drawn(context, f"curves {ref} {limit} {metric!r}", read)
