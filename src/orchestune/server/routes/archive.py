"""Records of experiments that are exported from one server and imported by another one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import requests, routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Audit, Here, Range
from orchestune.server.receiving import noticing_departure, received
from orchestune.services import signatures
from orchestune.services.commands import import_record
from orchestune.services.queries import export_record

router = routers.of_clients("archive")

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/experiments/{ref}/archive", response_class=Response)
async def fetch(context: Here, request: Request, audit: Audit, ref: str, wanted: Range = None) -> Response:
    """Stream the whole record of a finished experiment; its blobs are downloaded like bundles."""
    async with noticing_departure(request) as check:
        archive = await context.exporting(export_record.open_archive, context.core, ref, check)
    audit.add(AuditKind.EXPERIMENT_EXPORTED, archive.handle, experiment=archive.experiment)
    return file_answer(archive.file, archive.size, wanted, context.file_threads)


Trust = Annotated[
    str,
    Query(
        max_length=64,
        description="the SHA-256 of a record of another server whose contents were confirmed; without it such a record "
        "is answered with 409 and its `contents`",
    ),
]


@router.post("/archive", response_model=documents.Imported, openapi_extra=_BODY)
async def store(context: Here, audit: Audit, request: Request, trust: Trust = "") -> Response:
    """Import a record once its blobs are here; an experiment that is here already stays as it is."""
    async with received(context, request) as record:
        result = await context.filing(import_record.read, context.core, record, trust)
    handle, imported = str(result["handle"]), "true" if result["imported"] else "false"
    audit.add(AuditKind.EXPERIMENT_IMPORTED, handle, experiment=str(result["experiment"]), imported=imported)
    return answer(result)


@router.post("/archive/signature", response_model=documents.Verified)
async def verify(context: Here, body: requests.SignedRecord) -> Response:
    """Return whether this server wrote the record with this digest, so that a client knows before it sends any file."""
    return answer({"verified": signatures.signed_here(context.core, body.digest, body.signature)})
