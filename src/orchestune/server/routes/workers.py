"""Calls of workers other than `work`: registration, jobs and files."""

from __future__ import annotations

from fastapi import Request, Response
from msgspec import Struct

from orchestune.server import routers
from orchestune.server.answers import file_answer
from orchestune.server.parameters import Cursor, Digest, Range, RequestContext
from orchestune.services.execution import register_worker, uploads
from orchestune.wire import answers, files, registration

router = routers.of_trials("/workers/{worker}")


@router.post("/register")
async def register(context: RequestContext, request: Request, worker: str) -> Response:
    """Register a worker's process, at its start and when it restarts."""
    call = registration.decode(await request.body())
    async with context.worker_turns.of(worker):
        return _answer(await context.working(register_worker.register, context.core, worker, call))


@router.get("/jobs/{revision}")
async def job(context: RequestContext, worker: str, revision: int) -> Response:
    """Return the job of a revision: everything that its trials share."""
    async with context.worker_turns.of(worker):
        return _answer(await context.working(register_worker.job, context.core, worker, revision))


@router.put("/uploads/{digest}")
async def upload(
    context: RequestContext, request: Request, worker: str, digest: Digest, offset: Cursor = 0
) -> Response:
    """Store a part of a file."""
    data = await request.body()
    context.unfinished.admit(worker, digest, offset + len(data))
    return _answer(await context.filing_of(worker, uploads.append, context.core, worker, digest, offset, data))


@router.head("/uploads/{digest}")
async def uploaded(context: RequestContext, worker: str, digest: Digest) -> Response:
    """Return how many bytes of a file have arrived."""
    size, complete = await context.filing_of(worker, uploads.state, context.core, worker, digest)
    return Response(headers={"X-Size": str(size), **({"X-Complete": "1"} if complete else {})})


@router.post("/artifacts")
async def keep_artifacts(context: RequestContext, request: Request, worker: str) -> Response:
    """Commit uploads as artifacts of a trial."""
    call = files.decode_artifacts(await request.body())
    kept = await context.filing_of(worker, uploads.keep_artifacts, context.core, worker, call)
    context.unfinished.finish(worker, [item.digest for item in call.files])
    return _answer(kept)


@router.post("/checkpoint")
async def checkpoint(context: RequestContext, request: Request, worker: str) -> Response:
    """Publish an upload as the checkpoint of a trial."""
    call = files.decode_checkpoint(await request.body())
    published = await context.filing_of(worker, uploads.checkpoint, context.core, worker, call)
    context.unfinished.finish(worker, [call.digest])
    return _answer(published)


@router.get("/blobs/{digest}")
async def blob(context: RequestContext, worker: str, digest: Digest, byte_range: Range = None) -> Response:
    """Download a checkpoint."""
    file, size = await context.filing_of(worker, uploads.open_blob, context.core, worker, digest)
    return file_answer(file, size, byte_range, context.worker_file_threads)


def _answer(document: Struct) -> Response:
    return Response(answers.encode(document), media_type="application/json")
