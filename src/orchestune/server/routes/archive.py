"""Export of experiment records from one server, and import into another one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from orchestune import documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import requests, routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Audit, Range, RequestContext
from orchestune.server.receiving import disconnect_check, received_body
from orchestune.services import signatures
from orchestune.services.commands import import_record
from orchestune.services.queries import export_record

# The OpenAPI document derives operation ids and summaries from the names of the handlers: keep them.
router = routers.of_clients("archive")

_GZIP_BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/experiments/{ref}/archive", response_class=Response)
async def fetch(
    context: RequestContext, request: Request, audit: Audit, ref: str, byte_range: Range = None
) -> Response:
    """Stream the record of a finished experiment.

    Blobs are not included; download them with `GET /bundles/{digest}`.
    """
    async with disconnect_check(request) as raise_if_disconnected:
        archive = await context.exporting(export_record.open_archive, context.core, ref, raise_if_disconnected)
    audit.add(AuditKind.EXPERIMENT_EXPORTED, archive.handle, experiment=archive.experiment)
    return file_answer(archive.file, archive.size, byte_range, context.file_threads)


TrustedDigest = Annotated[
    str,
    Query(
        max_length=64,
        description="SHA-256 of a record from another server. Pass it after the user has confirmed its contents; "
        "otherwise the response is 409 with the `contents`",
    ),
]


@router.post("/archive", response_model=documents.Imported, openapi_extra=_GZIP_BODY_SCHEMA)
async def store(context: RequestContext, audit: Audit, request: Request, trust: TrustedDigest = "") -> Response:
    """Import a record after its blobs. An existing experiment is left unchanged unless the record continues it."""
    async with received_body(context, request) as record:
        imported_record = await context.filing(import_record.read, context.core, record, trust)
    handle, experiment = str(imported_record["handle"]), str(imported_record["experiment"])
    was_imported = "true" if imported_record["imported"] else "false"
    audit.add(AuditKind.EXPERIMENT_IMPORTED, handle, experiment=experiment, imported=was_imported)
    return answer(imported_record)


@router.post("/archive/signature", response_model=documents.Verified)
async def verify(context: RequestContext, body: requests.SignedRecord) -> Response:
    """Return true if this server signed the record with this digest. Clients call this before uploading."""
    return answer({"verified": signatures.is_own_signature(context.core, body.digest, body.signature)})
