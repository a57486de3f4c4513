"""Export of experiment records from one server, and import into another one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import requests, routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Audit, Range, RequestContext
from orchestune.server.receiving import disconnect_check, received
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
async def fetch(
    context: RequestContext, request: Request, audit: Audit, ref: str, byte_range: Range = None
) -> Response:
    """Stream the whole record of a finished experiment; its blobs are downloaded like bundles."""
    async with disconnect_check(request) as check:
        archive = await context.exporting(export_record.open_archive, context.core, ref, check)
    audit.add(AuditKind.EXPERIMENT_EXPORTED, archive.handle, experiment=archive.experiment)
    return file_answer(archive.file, archive.size, byte_range, context.file_threads)


Trust = Annotated[
    str,
    Query(
        max_length=64,
        description="the SHA-256 of a record of another server whose contents were confirmed; without it such a record "
        "is answered with 409 and its `contents`",
    ),
]


@router.post("/archive", response_model=documents.Imported, openapi_extra=_BODY)
async def store(context: RequestContext, audit: Audit, request: Request, trust: Trust = "") -> Response:
    """Import a record whose blobs were uploaded before. An experiment that exists already is not changed."""
    async with received(context, request) as record:
        imported_record = await context.filing(import_record.read, context.core, record, trust)
    handle, imported = str(imported_record["handle"]), "true" if imported_record["imported"] else "false"
    audit.add(AuditKind.EXPERIMENT_IMPORTED, handle, experiment=str(imported_record["experiment"]), imported=imported)
    return answer(imported_record)


@router.post("/archive/signature", response_model=documents.Verified)
async def verify(context: RequestContext, body: requests.SignedRecord) -> Response:
    """Return true if this server signed the record with this digest, before the client uploads any file."""
    return answer({"verified": signatures.signed_here(context.core, body.digest, body.signature)})
