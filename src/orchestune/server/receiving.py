"""Large bodies: taken in piece by piece, so that a slow client holds neither a thread nor much memory."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile

from fastapi import Request

from orchestune.server.context import Context

IN_MEMORY = 1 << 20


async def receive(context: Context, request: Request, spool: SpooledTemporaryFile[bytes]) -> None:
    """Put the body into `spool`, and go back to its beginning."""
    part = bytearray()
    async for piece in request.stream():
        part += piece
        if len(part) >= IN_MEMORY:
            await context.streaming(spool.write, bytes(part))
            part.clear()
    spool.write(bytes(part))
    spool.seek(0)
