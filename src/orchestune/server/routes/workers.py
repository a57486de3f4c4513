"""What workers ask besides `work`: registration, jobs, files."""

from __future__ import annotations

from fastapi import Request, Response
from msgspec import Struct

from orchestune.server import routers
from orchestune.server.answers import file_answer
from orchestune.server.parameters import Cursor, Digest, Here, Range
from orchestune.services.execution import register_worker, uploads
from orchestune.wire import answers, files, registration

router = routers.of_trials("/workers/{worker}")


@router.post("/register")
async def register(context: Here, request: Request, worker: str) -> Response:
    """Take a worker in, at its start and after each restart of either side."""
    call = registration.decode(await request.body())
    async with context.worker_turns.of(worker):
        return _answer(await context.working(register_worker.register, context.core, worker, call))


@router.get("/jobs/{revision}")
async def job(context: Here, worker: str, revision: int) -> Response:
    """Return the job: what all trials of one revision share."""
    async with context.worker_turns.of(worker):
        return _answer(await context.working(register_worker.job, context.core, worker, revision))


@router.put("/uploads/{digest}")
async def upload(context: Here, request: Request, worker: str, digest: Digest, offset: Cursor = 0) -> Response:
    """Store a part of a file."""
    data = await request.body()
    context.unfinished.admit(worker, digest, offset + len(data))
    return _answer(await context.filing_of(worker, uploads.append, context.core, worker, digest, offset, data))


@router.head("/uploads/{digest}")
async def uploaded(context: Here, worker: str, digest: Digest) -> Response:
    """Return how many bytes of a file have arrived."""
    size, complete = await context.filing_of(worker, uploads.state, context.core, worker, digest)
    return Response(headers={"X-Size": str(size), **({"X-Complete": "1"} if complete else {})})


@router.post("/artifacts")
async def keep_artifacts(context: Here, request: Request, worker: str) -> Response:
    """Turn uploads into artifacts of a trial."""
    call = files.decode_artifacts(await request.body())
    kept = await context.filing_of(worker, uploads.keep_artifacts, context.core, worker, call)
    context.unfinished.finish(worker, [item.digest for item in call.files])
    return _answer(kept)


@router.post("/checkpoint")
async def checkpoint(context: Here, request: Request, worker: str) -> Response:
    """Publish a checkpoint."""
    call = files.decode_checkpoint(await request.body())
    published = await context.filing_of(worker, uploads.checkpoint, context.core, worker, call)
    context.unfinished.finish(worker, [call.digest])
    return _answer(published)


@router.get("/blobs/{digest}")
async def blob(context: Here, worker: str, digest: Digest, wanted: Range = None) -> Response:
    """Stream the bytes of a checkpoint."""
    file, size = await context.filing_of(worker, uploads.open_blob, context.core, worker, digest)
    return file_answer(file, size, wanted, context.worker_file_threads)


def _answer(document: Struct) -> Response:
    return Response(answers.encode(document), media_type="application/json")
