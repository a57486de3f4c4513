"""Bytes of log segments, from the database or the file store."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO

from orchestune.errors import NotFound
from orchestune.files import gzip_blocks
from orchestune.files.gzip_blocks import BlockReader
from orchestune.ports.files import FileStore
from orchestune.store.log_compression import unpacked
from orchestune.store.logs import LogSegment, converted_prefix
from orchestune.worker.output import LAST_BYTES, last_lines


class LogBytes:
    """Reader of single segments. Consecutive segments of an object share one open stream."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._stream: BinaryIO | BlockReader = io.BytesIO()
        self._place = ("", 0)
        """object key of the stream, and the offset read so far"""

    def __enter__(self) -> LogBytes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()

    def read(self, segment: LogSegment) -> bytes:
        """Return the segment's bytes, or a message if they were deleted, so that the rest of the log stays readable."""
        key, start, length = segment.object_key, segment.object_offset or 0, segment.length
        if key is None or not length:
            return unpacked(segment.data, length)
        is_next = self._place == (key, start)
        self._place = ("", 0)  # unknown if reading fails
        try:
            if not is_next:
                self._stream.close()
                self._stream = self._open(key, start)
            data = self._stream.read(length)
        except (NotFound, *gzip_blocks.ERRORS):
            return _lost(length)
        self._place = (key, self._stream.tell() if key.endswith(gzip_blocks.SUFFIX) else start + length)
        return data

    def _open(self, key: str, start: int) -> BinaryIO | BlockReader:
        if key.endswith(gzip_blocks.SUFFIX):
            return BlockReader(self._files.open(key, gzip_blocks.object_offset(start)), start)
        try:
            return self._files.open(key, start)
        except NotFound:  # it was compressed after the rows of its segments were read
            for converted in self._files.keys(converted_prefix(key)):
                self._stream = reader = BlockReader(self._files.open(converted))
                reader.read(start)
                return reader
            raise


def read_all(files: FileStore, segments: Sequence[LogSegment]) -> list[bytes]:
    """Return the bytes of each segment. Each object is read only once, even if segments of several logs alternate."""

    def location(number: int) -> tuple[str, int]:
        return segments[number].object_key or "", segments[number].object_offset or 0

    numbers = range(len(segments))
    with LogBytes(files) as logs:
        contents = {number: logs.read(segments[number]) for number in sorted(numbers, key=location)}
    return [contents[number] for number in numbers]


def end_of(files: FileStore, newest: Sequence[LogSegment]) -> str:
    """Return the log tail in the form that workers report it at the end; `newest`: segments, newest first."""
    needed, size = list[LogSegment](), 0
    for segment in newest:
        needed.insert(0, segment)
        size += segment.length
        if size >= LAST_BYTES:
            break
    return last_lines(b"".join(read_all(files, needed))[-LAST_BYTES:])


def _lost(length: int) -> bytes:
    return f"orchestune: {length:,} bytes of this log are missing in the server's file store\n".encode()
