"""Archives of code, by their SHA-256."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Digest, Here, Known, OnlyOf, Range
from orchestune.server.receiving import received
from orchestune.services import bundles

router = routers.of_clients("bundles", "/bundles/{digest}")


_ARCHIVE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.head("", response_class=Response)
async def has(context: Here, digest: Digest) -> Response:
    """200 where the server has it, else 404."""
    known = await context.filing(bundles.has, context.core, digest)
    return Response(status_code=200 if known else 404)


@router.put("", response_model=documents.Bundle, openapi_extra=_ARCHIVE)
async def store(context: Here, request: Request, digest: Digest) -> Response:
    """Take the archive in."""
    async with received(context, request) as archive:
        return answer(await context.filing(bundles.store, context.core, digest, archive))


@router.get("", response_class=Response)
async def fetch(context: Here, caller: Known, only: OnlyOf, digest: Digest, wanted: Range = None) -> Response:
    """Stream the archive of a bundle."""
    if only is None:
        file, size = await context.filing(bundles.open_bundle, context.core, digest)
        return file_answer(file, size, wanted, context.file_threads)
    file, size = await context.filing_of(caller.worker, bundles.open_bundle, context.core, digest, only)
    return file_answer(file, size, wanted, context.worker_file_threads)
