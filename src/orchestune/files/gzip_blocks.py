"""Compressed objects with random access: independent gzip members of 64 KiB of content each, one after the other.

A *virtual offset*, as in the BGZF format, names a byte of the content: the start of its member in the object in the
upper bits, and its place in the member's content in the lower 16. So a reader fetches and decompresses nothing before
the member it needs, and needs no index. `zcat` prints the whole content.
"""

from __future__ import annotations

import gzip
import zlib
from types import TracebackType
from typing import BinaryIO, NamedTuple

SUFFIX = ".gz"
ERRORS = (EOFError, zlib.error)
"""errors of reading a damaged object"""
_BITS = 16
_BLOCK = 1 << _BITS
_LEVEL = 6  # lines of a training shrink to 16 % at 50 MB/s; with level 9 to 15.5 % at 20 MB/s
_READ_BYTES = 16 << 10
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS


class CompressedContent(NamedTuple):
    """The bytes of an object, and where each block of its content starts in it."""

    data: bytes
    starts: list[int]

    def virtual_offset(self, position: int) -> int:
        """Return the virtual offset of a position in the content, up to its length."""
        return self.starts[position >> _BITS] << _BITS | position & (_BLOCK - 1)


def compress(content: bytes) -> CompressedContent:
    """Compress the content of an object."""
    data, starts = bytearray(), list[int]()
    view = memoryview(content)
    for position in range(0, len(content), _BLOCK):
        starts.append(len(data))
        data += gzip.compress(view[position : position + _BLOCK], _LEVEL, mtime=0)
    return CompressedContent(bytes(data), [*starts, len(data)])


def object_offset(virtual_offset: int) -> int:
    """Return the byte of the object from which a reader of this virtual offset needs it."""
    return virtual_offset >> _BITS


class BlockReader:
    """Reads the content from a virtual offset on.

    `stream` must be at `object_offset(virtual_offset)`, and is only read forward; closing the reader closes it.
    """

    def __init__(self, stream: BinaryIO, virtual_offset: int = 0) -> None:
        self._stream = stream
        self._next = object_offset(virtual_offset)
        self._start = self._next
        self._surplus = b""
        """bytes of the next members, which came with those of this one"""
        self._block, self._place = b"", 0
        self._skipped = virtual_offset & (_BLOCK - 1)
        """place in the first block at which reading starts"""

    def __enter__(self) -> BlockReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()

    def tell(self) -> int:
        """Return the virtual offset of the next byte, in the form of `CompressedContent.virtual_offset`."""
        if self._place == len(self._block):
            return self._next << _BITS | self._skipped
        return self._start << _BITS | self._place

    def read(self, length: int) -> bytes:
        """Return the next `length` bytes. Raises one of `ERRORS` if the object is damaged or ends before."""
        parts = list[bytes]()
        while length > 0:
            if self._place == len(self._block):
                self._block, self._place, self._skipped = self._decompress(), self._skipped, 0
            part = self._block[self._place : self._place + length]
            parts.append(part)
            self._place, length = self._place + len(part), length - len(part)
        return b"".join(parts)

    def _decompress(self) -> bytes:
        """Return the content of the next member."""
        member, content, size = zlib.decompressobj(_WITH_GZIP_HEADER), bytearray(), 0
        while not member.eof:
            data = self._surplus or self._stream.read(_READ_BYTES)
            if not data:
                raise EOFError("a compressed object ends within a block")
            content += member.decompress(data)
            self._surplus = member.unused_data
            size += len(data)
        self._start, self._next = self._next, self._next + size - len(self._surplus)
        return bytes(content)
