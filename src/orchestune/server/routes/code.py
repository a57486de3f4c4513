"""The code of trials, and the differences between two trials."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.answers import answer
from orchestune.server.parameters import RequestContext
from orchestune.services.queries import read_code

router = routers.of_clients("code")

TrialNumber = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="number of a trial (default: the next one)")]
TrialReference = Annotated[str, Query(max_length=300, description="a trial, such as EXP/N")]


@router.get("/experiments/{ref}/code", response_model=documents.Code)
async def code(context: RequestContext, ref: str, trial: TrialNumber = None) -> Response:
    """List the project files of a trial."""
    return answer(await context.reading_code(read_code.code, context.core, ref, trial))


@router.get("/experiments/{ref}/code/{path:file}", response_model=documents.CodeFile)
async def text(context: RequestContext, ref: str, path: str, trial: TrialNumber = None) -> Response:
    """Return the text of a project file."""
    return answer(await context.reading_code(read_code.text, context.core, ref, trial, path))


@router.get("/diff", response_model=documents.Difference)
async def diff(context: RequestContext, old: TrialReference, new: TrialReference) -> Response:
    """Compare the parameters and code of two trials, of the same experiment or of two."""
    return answer(await context.reading_code(read_code.diff, context.core, old, new))
