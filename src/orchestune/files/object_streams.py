"""Streams to and from an object store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Any

from orchestune.files.keys import digest_mismatch
from orchestune.files.object_errors import object_errors

BLOCK = 16 << 20
"""bytes of one part of a multipart upload; an object has at most 10,000 parts (156 GiB)"""


class ObjectBody(io.RawIOBase):
    """The body of a response, with boto3's errors translated to our own."""

    def __init__(self, body: Any, place: str) -> None:
        self._body = body
        self._place = place

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with object_errors(self._place):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content in pieces of `BLOCK` bytes; only the last one may be shorter."""
    buffer = bytearray()
    for data in content:
        buffer += data
        while len(buffer) >= BLOCK:
            yield bytes(buffer[:BLOCK])
            del buffer[:BLOCK]
    if buffer:
        yield bytes(buffer)


def verified(content: Iterable[bytes], upload: str, digest: str) -> Iterator[bytes]:
    """Yield the content unchanged. Raises BadInput after the end if its SHA-256 is not `digest`."""
    actual = hashlib.sha256()
    for data in content:
        actual.update(data)
        yield data
    if actual.hexdigest() != digest:
        raise digest_mismatch(upload, actual.hexdigest(), digest)
