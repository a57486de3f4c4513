"""The data behind the plots, for pages and notebooks alike."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from orchestune.server import models, routers
from orchestune.server.answers import answer
from orchestune.server.context import Here

router = routers.of_clients("plots", "/experiments/{ref}")


@router.get("/columns", response_model=models.Columns)
def columns(
    context: Here,
    ref: str,
    limit: Annotated[int, Query(ge=10, le=100_000)] = 4000,
    where: Annotated[str | None, Query(description="JSON: column → [low, high] or a list of words")] = None,
) -> Response:
    """Trials by columns; where there are more than `limit`, the best ones and every k-th of the others."""
    return answer(context.services.read_columns.columns(context.core, ref, limit, where))


@router.get("/hypervolume", response_model=models.Hypervolume)
def hypervolume(context: Here, ref: str) -> Response:
    """How much of the space between several objectives was covered, after each trial that added to it."""
    return answer(context.services.read_hypervolume.hypervolume(context.core, ref))


@router.get("/contour", response_model=models.Contour)
def contour(context: Here, ref: str, x: str, y: str, metric: str | None = None) -> Response:
    """A metric over two parameters: the mean of the completed trials around each place."""
    return answer(context.services.read_contour.contour(context.core, ref, x, y, metric))


@router.get("/overview", response_model=models.Overview)
def overview(context: Here, ref: str) -> Response:
    """Why trials failed, and how many ran over time."""
    return answer(context.services.read_columns.overview(context.core, ref))


@router.get("/timeline", response_model=models.Timeline)
def timeline(context: Here, ref: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 2000) -> Response:
    """When and where attempts ran."""
    return answer(context.services.read_columns.timeline(context.core, ref, limit))


@router.get("/curves", response_model=models.Curves)
def curves(
    context: Here, ref: str, metric: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> Response:
    """What the newest trials and the best one reported while they ran, of the first metric where none is named."""
    return answer(context.services.read_columns.curves(context.core, ref, metric, limit))
