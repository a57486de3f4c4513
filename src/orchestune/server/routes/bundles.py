"""Bundles of code, by the SHA-256 of their archive."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from orchestune import documents
from orchestune.server import routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import AllowedExperiment, Digest, Range, RequestCaller, RequestContext
from orchestune.server.receiving import received_body
from orchestune.services import bundles

router = routers.of_clients("bundles", "/bundles/{digest}")


_ARCHIVE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.head("", response_class=Response)
async def has(context: RequestContext, digest: Digest) -> Response:
    """Respond with 200 if the server has the bundle, otherwise with 404."""
    exists = await context.filing(bundles.has, context.core, digest)
    return Response(status_code=200 if exists else 404)


@router.put("", response_model=documents.Bundle, openapi_extra=_ARCHIVE)
async def store(context: RequestContext, request: Request, digest: Digest) -> Response:
    """Upload a bundle."""
    async with received_body(context, request) as archive:
        return answer(await context.filing(bundles.store, context.core, digest, archive))


@router.get("", response_class=Response)
async def fetch(
    context: RequestContext,
    caller: RequestCaller,
    allowed_experiment: AllowedExperiment,
    digest: Digest,
    byte_range: Range = None,
) -> Response:
    """Download a bundle."""
    if allowed_experiment is None:
        file, size = await context.filing(bundles.open_bundle, context.core, digest)
        return file_answer(file, size, byte_range, context.file_threads)
    file, size = await context.filing_of(caller.worker, bundles.open_bundle, context.core, digest, allowed_experiment)
    return file_answer(file, size, byte_range, context.worker_file_threads)
