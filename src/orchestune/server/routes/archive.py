"""Records of experiments that move from one server to another."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Here, Range
from orchestune.server.receiving import received
from orchestune.services import archive_experiment

router = routers.of_clients("archive")

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/experiments/{ref}/archive", response_class=Response)
async def fetch(context: Here, ref: str, wanted: Range = None) -> Response:
    """The whole record of an experiment that is over; its blobs are fetched as bundles are."""
    file, size = await context.filing(archive_experiment.open_archive, context.core, ref)
    return file_answer(file, size, wanted, context.file_threads)


@router.post("/archive", response_model=documents.Imported, openapi_extra=_BODY)
async def store(context: Here, request: Request) -> Response:
    """Take a record in, once its blobs are here; one that is here already stays as it is."""
    async with received(context, request) as record:
        return answer(await context.filing(archive_experiment.read, context.core, record))
