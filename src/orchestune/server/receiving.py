"""Large bodies: taken in piece by piece, so that a slow client holds neither a thread nor much memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import BinaryIO, cast

from fastapi import Request

from orchestune.files.disk import disk_errors
from orchestune.server.context import Context

IN_MEMORY = 1 << 20


@asynccontextmanager
async def received(context: Context, request: Request) -> AsyncIterator[BinaryIO]:
    """The body, to be read from its beginning. StoreUnavailable where the disk has no room for it."""
    spool = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
    try:
        part = bytearray()
        async for piece in request.stream():
            part += piece
            if len(part) >= IN_MEMORY:
                await context.streaming(_write, spool, bytes(part))
                part.clear()
        _write(spool, bytes(part))
        spool.seek(0)
        yield cast(BinaryIO, spool)
    finally:
        with suppress(OSError):  # of a disk that is full, which was told; what was not written is nobody's any more
            spool.close()


def _write(spool: SpooledTemporaryFile[bytes], part: bytes) -> None:
    with disk_errors(Path(gettempdir())):
        spool.write(part)
        spool.flush()
