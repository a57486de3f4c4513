"""Large bodies: taken in piece by piece, so that a slow client holds neither a thread nor much memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir

from fastapi import Request

from orchestune.files.disk import disk_errors
from orchestune.server.context import Context

IN_MEMORY = 1 << 20


async def receive(context: Context, request: Request, spool: SpooledTemporaryFile[bytes]) -> None:
    """Put the body into `spool`, and go back to its beginning."""
    part = bytearray()
    async for piece in request.stream():
        part += piece
        if len(part) >= IN_MEMORY:
            await context.streaming(_write, spool, bytes(part))
            part.clear()
    _write(spool, bytes(part))
    spool.seek(0)


def _write(spool: SpooledTemporaryFile[bytes], part: bytes) -> None:
    with disk_errors(Path(gettempdir())):
        spool.write(part)
