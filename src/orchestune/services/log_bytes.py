"""The bytes of log segments, wherever they lie."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO

from orchestune.errors import NotFound
from orchestune.ports.files import FileStore
from orchestune.store.logs import Segment
from orchestune.worker.output import LAST, last_lines


class LogBytes:
    """Reads segments one by one. Those that follow one another in an object are one reading of it, however many."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._stream: BinaryIO = io.BytesIO()
        self._place = ("", 0)
        """the object of the stream, and how far it was read"""

    def __enter__(self) -> LogBytes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()

    def read(self, segment: Segment) -> bytes:
        """Its bytes, or a sentence in their place where somebody removed them: the rest of the log is worth reading."""
        key, start, length = segment.object_key, segment.object_offset or 0, segment.length
        if key is None or not length:
            return segment.data or b""
        goes_on = self._place == (key, start)
        self._place = ("", 0)  # where reading fails, nobody knows
        try:
            if not goes_on:
                self._stream.close()
                self._stream = self._files.open(key, start)
            data = self._stream.read(length)
        except NotFound:
            return _lost(length)
        self._place = (key, start + length)
        return data


def read_all(files: FileStore, segments: Sequence[Segment]) -> list[bytes]:
    """The bytes of each; several logs may alternate in them, and each of their objects is read once all the same."""

    def place(number: int) -> tuple[str, int]:
        return segments[number].object_key or "", segments[number].object_offset or 0

    numbers = range(len(segments))
    with LogBytes(files) as logs:
        found = {number: logs.read(segments[number]) for number in sorted(numbers, key=place)}
    return [found[number] for number in numbers]


def end_of(files: FileStore, newest: Sequence[Segment]) -> str:
    """The end of a log for people, as its worker tells it when it ends; of its newest segments, the newest first."""
    needed, size = list[Segment](), 0
    for segment in newest:
        needed.insert(0, segment)
        size += segment.length
        if size >= LAST:
            break
    return last_lines(b"".join(read_all(files, needed))[-LAST:])


def _lost(length: int) -> bytes:
    return f"orchestune: {length:,} bytes of this log are no longer where the server keeps files\n".encode()
