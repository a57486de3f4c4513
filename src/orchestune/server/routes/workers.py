"""What workers ask besides `work`: registration, jobs, files."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from orchestune.errors import BadInput
from orchestune.server import routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Cursor, Digest, Here, Range
from orchestune.services import register_worker, uploads
from orchestune.services.bundles import check_digest

MOST_FILES = 1000
"""files that one call may turn into artifacts; workers send at most 100"""
_ENDLESS = 2**63

router = routers.of_trials("/workers/{worker}")


@router.post("/register")
def register(context: Here, worker: str, body: dict[str, Any]) -> Response:
    """The first call of a worker."""
    _check(body, protocol=int, boot=str, node=str)
    return answer(register_worker.register(context.core, worker, body))


@router.get("/jobs/{revision}")
def job(context: Here, worker: str, revision: int) -> Response:
    """What all trials of one revision share."""
    return answer(register_worker.job(context.core, worker, revision))


@router.put("/uploads/{digest}")
async def upload(context: Here, request: Request, worker: str, digest: Digest, offset: Cursor = 0) -> Response:
    """A part of a file."""
    data = await request.body()
    return answer(await context.filing(uploads.append, context.core, worker, digest, offset, data))


@router.head("/uploads/{digest}")
async def uploaded(context: Here, worker: str, digest: Digest) -> Response:
    """How much of a file is there."""
    size, complete = await context.filing(uploads.state, context.core, worker, digest)
    return Response(headers={"X-Size": str(size), **({"X-Complete": "1"} if complete else {})})


@router.post("/artifacts")
async def keep_artifacts(context: Here, worker: str, body: dict[str, Any]) -> Response:
    """Turn uploads into artifacts of a trial."""
    _check(body, attempt=str, token=int, files=list, **({"refused": str} if "refused" in body else {}))
    if len(body["files"]) > MOST_FILES:
        raise BadInput.one(f"must be at most {MOST_FILES:,} files, found {len(body['files']):,}", key="files")
    for item in body["files"]:
        if not isinstance(item, dict):
            raise BadInput.one("must be a list of documents", key="files")
        _check(item, path=str, digest=str, size=int)
    return answer(await context.filing(uploads.keep_artifacts, context.core, worker, body))


@router.post("/checkpoint")
async def checkpoint(context: Here, worker: str, body: dict[str, Any]) -> Response:
    """Publish a checkpoint."""
    _check(body, attempt=str, token=int, digest=str, **({"size": int} if body.get("size") is not None else {}))
    if not _is_number(body.get("age", 0.0)):
        raise BadInput.one(f"must be seconds, found {str(body['age'])[:200]!r}", key="age")
    return answer(await context.filing(uploads.checkpoint, context.core, worker, body))


@router.get("/blobs/{digest}")
async def blob(context: Here, worker: str, digest: Digest, wanted: Range = None) -> Response:
    """The bytes of a checkpoint."""
    file, size = await context.filing(uploads.open_blob, context.core, worker, digest)
    return file_answer(file, size, wanted, context.file_threads)


def _check(body: dict[str, Any], **kinds: type) -> None:
    """Refuse a document in which something is missing, or of another type: a worker may be of another version, or
    hostile, and what the store cannot hold is no fault of the server. BadInput
    """
    for name, kind in kinds.items():
        field = body.get(name)
        if not isinstance(field, kind) or isinstance(field, bool):
            raise BadInput.one(f"must be {kind.__name__}, found {str(field)[:200]!r}", key=name)
        if isinstance(field, int) and not 0 <= field < _ENDLESS:
            raise BadInput.one(f"must be from 0 to 2**63 - 1, found {field}", key=name)
        if isinstance(field, str) and "\0" in field:
            raise BadInput.one("must be without NUL", key=name)
        if name == "digest":
            check_digest(str(field))


def _is_number(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < _ENDLESS
