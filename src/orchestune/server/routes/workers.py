"""What workers ask besides `work`: registration, jobs, files."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from orchestune.errors import BadInput
from orchestune.server import routers
from orchestune.server.answers import answer, file_answer
from orchestune.server.parameters import Cursor, Digest, Here, Range
from orchestune.services import register_worker, uploads

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
    for item in body["files"]:
        if not isinstance(item, dict):
            raise BadInput.one("must be a list of documents", key="files")
        _check(item, path=str, digest=str, size=int)
    return answer(await context.filing(uploads.keep_artifacts, context.core, worker, body))


@router.post("/checkpoint")
async def checkpoint(context: Here, worker: str, body: dict[str, Any]) -> Response:
    """Publish a checkpoint."""
    _check(body, attempt=str, token=int, digest=str)
    return answer(await context.filing(uploads.checkpoint, context.core, worker, body))


@router.get("/blobs/{digest}")
async def blob(context: Here, worker: str, digest: Digest, wanted: Range = None) -> Response:
    """The bytes of a checkpoint."""
    file, size = await context.filing(uploads.open_blob, context.core, worker, digest)
    return file_answer(file, size, wanted, context.file_threads)


def _check(body: dict[str, Any], **kinds: type) -> None:
    """BadInput for a document that lacks something; a worker of another version is not a fault of the server."""
    for name, kind in kinds.items():
        if not isinstance(body.get(name), kind):
            raise BadInput.one(f"must be {kind.__name__}, found {body.get(name)!r}", key=name)
