"""Large request bodies, and detection of client disconnects.

Bodies are received in pieces, so that a slow client occupies neither a thread nor much memory.
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

MAX_IN_MEMORY_BYTES = 1 << 20


@asynccontextmanager
async def received_body(context: Context, request: Request) -> AsyncIterator[BinaryIO]:
    """Receive the body into a spooled file and yield it, at position 0. Raises StoreUnavailable if the disk is full.

    A caller has at most `MAX_BODIES_PER_CALLER` at once; the bodies of further requests are not read meanwhile.
    """
    async with context.body_turns.turn():
        async with _spooled_body(context, request) as spool:
            yield spool


@asynccontextmanager
async def _spooled_body(context: Context, request: Request) -> AsyncIterator[BinaryIO]:
    spool = SpooledTemporaryFile(max_size=MAX_IN_MEMORY_BYTES)  # noqa: SIM115
    try:
        part = bytearray()
        async for piece in request.stream():
            part += piece
            if len(part) >= MAX_IN_MEMORY_BYTES:
                await context.streaming(_write, spool, bytes(part))
                part.clear()
        _write(spool, bytes(part))
        spool.seek(0)
        yield cast(BinaryIO, spool)
    finally:
        with suppress(OSError):  # a full disk was reported before, and unwritten data is no longer needed
            spool.close()


async def client_disconnect(request: Request) -> None:
    """Wait until the client has disconnected. The request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def disconnect_check(request: Request) -> AsyncIterator[Callable[[], None]]:
    """Yield a check for a thread to call periodically: it raises ClientDisconnect if the client has disconnected."""
    is_disconnected = threading.Event()

    async def watch() -> None:
        await client_disconnect(request)
        is_disconnected.set()

    def check() -> None:
        if is_disconnected.is_set():
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
