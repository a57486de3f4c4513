"""Large bodies, taken in piece by piece so that a slow client holds neither a thread nor much memory, and clients that
leave.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import BinaryIO, cast

from fastapi import Request
from starlette.requests import ClientDisconnect

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


async def departure(request: Request) -> None:
    """Return once the client has left. The request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def noticing_departure(request: Request) -> AsyncIterator[Callable[[], None]]:
    """Yield what a thread calls now and then: it raises ClientDisconnect once the client has left."""
    is_gone = threading.Event()

    async def watch() -> None:
        await departure(request)
        is_gone.set()

    def check() -> None:
        if is_gone.is_set():
            raise ClientDisconnect

    watching = asyncio.create_task(watch())
    try:
        yield check
    finally:
        watching.cancel()


def _write(spool: SpooledTemporaryFile[bytes], part: bytes) -> None:
    with disk_errors(Path(gettempdir())):
        spool.write(part)
        spool.flush()
