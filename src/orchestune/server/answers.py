"""HTTP responses: JSON documents, errors, and files in pieces."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread
from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestune.errors import OrchestuneError, TemporaryError, Throttled, UsageError

_PIECE_BYTES = 1 << 18
_ITEMS_PER_PART = 1000
"""of a list, which are encoded at once: about 2 ms"""
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class BehindTheEnd(UsageError):
    """The requested range starts after the end of the file."""

    code = "behind_the_end"
    status = 416


def encoded(document: object) -> bytes:
    """Encode as strict, compact JSON; numbers that JSON lacks become `"nan"`, `"inf"`, `"-inf"`."""
    try:
        return _ENCODER.encode(document).encode()
    except ValueError:
        return _ENCODER.encode(_finite(document)).encode()


def encoded_in_parts(document: object) -> bytes:
    """Return the same as `encoded`. For a thread that encodes a large document.

    The encoder keeps the interpreter's lock until it is done, so it gets long lists in parts: other threads, such as
    that of the event loop, run in between.
    """
    try:
        return "".join(_encoded_parts(document)).encode()
    except ValueError:
        return "".join(_encoded_parts(_finite(document))).encode()


def _encoded_parts(document: object, levels: int = 3) -> Iterator[str]:
    """Yield the JSON of a document in parts, those of long lists in the uppermost `levels` too."""
    if not levels or not document or not isinstance(document, dict | list | tuple):
        yield _ENCODER.encode(document)
    elif isinstance(document, dict):
        for number, (name, value) in enumerate(document.items()):
            yield f"{',' if number else '{'}{_ENCODER.encode({name: 0})[1:-2]}"
            yield from _encoded_parts(value, levels - 1)
        yield "}"
    elif len(document) <= _ITEMS_PER_PART:
        yield _ENCODER.encode(document)
    else:
        for start in range(0, len(document), _ITEMS_PER_PART):
            yield f"{',' if start else '['}{_ENCODER.encode(document[start : start + _ITEMS_PER_PART])[1:-1]}"
        yield "]"


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build a JSON response."""
    return Response(encoded(document), status, headers, "application/json")


def refusal(error: OrchestuneError) -> Response:
    """Build the JSON response of an error."""
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TemporaryError):
        headers["Retry-After"] = "1"
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(error.seconds)
    return answer(error.to_json(), error.status, headers)


def file_answer(file: BinaryIO, size: int, requested_range: str | None, limiter: CapacityLimiter) -> Response:
    """Build a response with the bytes of `file`, which it closes; from offset N if the range is `bytes=N-`."""
    start = _start(requested_range)
    if start and start >= size:
        file.close()
        response = refusal(BehindTheEnd(f"the range starts at byte {start} (expected less than {size})"))
        response.headers["Content-Range"] = f"bytes */{size}"
        return response
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(size - start),
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    if start:
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
    return _FileAnswer(file, start, limiter, headers)


class _FileAnswer(StreamingResponse):
    """A file response that closes its file even if the client disconnects before the first byte."""

    def __init__(self, file: BinaryIO, start: int, limiter: CapacityLimiter, headers: Mapping[str, str]) -> None:
        pieces = _pieces(file, start, limiter)
        super().__init__(pieces, 206 if start else 200, headers, "application/octet-stream")
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _start(requested_range: str | None) -> int:
    match = re.fullmatch(r"bytes=(\d{1,15})-", (requested_range or "").strip())
    return int(match[1]) if match else 0


async def _pieces(file: BinaryIO, start: int, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
    await to_thread.run_sync(_skip, file, start, limiter=limiter)
    while piece := await to_thread.run_sync(file.read, _PIECE_BYTES, limiter=limiter):
        yield piece


def _skip(file: BinaryIO, count: int) -> None:
    if file.seekable():
        file.seek(count)
        return
    while count > 0:
        count -= len(file.read(min(count, _PIECE_BYTES))) or count
