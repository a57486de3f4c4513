"""The code of trials, and what is different between two of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.answers import answer
from orchestune.server.parameters import Here
from orchestune.services.queries import read_code

router = routers.of_clients("code")

Of = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="a trial; left out: what the next one has")]
Side = Annotated[str, Query(max_length=300, description="a trial, as EXP/N")]


@router.get("/experiments/{ref}/code", response_model=documents.Code)
async def code(context: Here, ref: str, trial: Of = None) -> Response:
    """List the files of the user's project that a trial has."""
    return answer(await context.analysing(read_code.code, context.core, ref, trial))


@router.get("/experiments/{ref}/code/{path:file}", response_model=documents.CodeFile)
async def text(context: Here, ref: str, path: str, trial: Of = None) -> Response:
    """Return the text of one of these files."""
    return answer(await context.analysing(read_code.text, context.core, ref, trial, path))


@router.get("/diff", response_model=documents.Difference)
async def diff(context: Here, old: Side, new: Side) -> Response:
    """Compare two trials, of one experiment or of two: values and code."""
    return answer(await context.analysing(read_code.diff, context.core, old, new))
