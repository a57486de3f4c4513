"""Buffers the log of one attempt between its process and the server: in order, in bounded memory, without blocking."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

MAX_MEMORY_BYTES = 512 * 1024
"""unsent bytes of one log held in memory; more are spilled to disk"""
MAX_TAIL_BYTES = 1024 * 1024
"""bytes kept from the end of a log that exceeds its cap"""
LAST_BYTES = 4096
"""bytes kept for the log tail that is shown with the result"""


class LogBuffer:
    """Queue of log bytes: `append` adds bytes, `parts` returns `[offset, text, gap]` until they are acknowledged.

    Offsets count the bytes that the process wrote. A log over `cap` keeps its head and the end of its tail; the part
    after the gap gives the number of missing bytes and is available once the log is closed. Unsent bytes that exceed
    MAX_MEMORY_BYTES are written to the file `spill`; if the disk is full, the head ends early and the gap is larger.

    Parts end at boundaries of UTF-8 characters, so that each can be decoded alone.
    """

    def __init__(self, cap: int, spill: Path) -> None:
        self._tail_limit = min(MAX_TAIL_BYTES, cap // 2)
        self._head_limit = cap - self._tail_limit
        self.spill = spill
        self.end = 0
        self.last = b""
        self.closed = False
        self.disk_error: OSError | None = None
        self._acked = 0
        self._head_end = 0
        self._memory = bytearray()
        self._file: int | None = None
        self._file_start = 0
        self._is_spooled = False
        """an entry of the spool refers to the file, so it must stay until the log is discarded"""
        self._tail = bytearray()
        self._incomplete = b""

    def append(self, data: bytes) -> None:
        """Add output of the process. An incomplete character is held back until its rest arrives."""
        data = self._incomplete + data
        complete = complete_characters(data)
        self._incomplete = data[len(complete) :]
        if complete:
            self._append(complete)

    def _append(self, data: bytes) -> None:
        room = self._head_limit - self._head_end
        if self.end == self._head_end and room > 0:
            self._append_head(complete_characters(data[:room]) if len(data) > room else data)
        excess = self.end + len(data) - self._head_end
        if excess > 0:
            self._tail += data[max(0, len(data) - excess) :]
            if len(self._tail) > 2 * self._tail_limit:
                del self._tail[: len(self._tail) - self._tail_limit]
        self.end += len(data)
        self.last = (self.last + data)[-LAST_BYTES:] if len(data) < LAST_BYTES else data[-LAST_BYTES:]

    def close(self) -> None:
        """Mark the log as complete, which makes its tail available to `parts`."""
        self._append(self._incomplete)
        self._incomplete = b""
        self.closed = True
        excess = max(0, len(self._tail) - self._tail_limit)
        if self.end - len(self._tail) + excess > self._head_end:  # the tail is cut at any byte: skip to a character
            excess += next((at for at in range(3) if not _continues(self._tail[excess + at : excess + at + 1])), 3)
        del self._tail[:excess]

    @property
    def waiting(self) -> int:
        """Number of bytes that can be sent now."""
        waiting = max(0, self._head_end - self._acked)
        if self.closed and self._tail:
            waiting += self.end - max(self._acked, self.end - len(self._tail))
        return waiting

    def parts(self, limit: int) -> tuple[list[list[Any]], int]:
        """Return at most `limit` unacknowledged bytes, and the position to acknowledge once they have arrived."""
        parts: list[list[Any]] = []
        position = self._acked
        if position < self._head_end:
            data = self._read_head(min(limit, self._head_end - position))
            if position + len(data) < self._head_end:
                data = complete_characters(data) or data
            parts.append([position, data.decode("latin-1"), 0])
            position += len(data)
            limit -= len(data)
        start = self.end - len(self._tail)
        if self.closed and self._tail and limit > 0 and self._head_end <= position < self.end:
            at = max(start, position)
            data = bytes(self._tail[at - start : at - start + limit])
            if at + len(data) < self.end:
                # The remaining limit may be less than a character.
                data = complete_characters(data) or (b"" if parts else data)
            if data:
                parts.append([at, data.decode("latin-1"), start - self._head_end if at == start else 0])
                position = at + len(data)
        return parts, position

    def acknowledge(self, position: int) -> None:
        """Drop all bytes before `position`, which the server has received."""
        if position <= self._acked:
            return
        drop = min(position, self._acked + len(self._memory)) - self._acked
        if drop > 0:
            del self._memory[:drop]
        self._acked = position
        if self._file is not None and position >= self._head_end and not self._is_spooled:
            self._drop_file()

    def persist(self) -> dict[str, Any]:
        """Move all unsent bytes to disk and return the state for `restore`. Raises OSError if the disk is full."""
        self._append(self._incomplete)
        self._incomplete = b""
        if self._memory:
            rest = b""
            if self._file is not None:
                rest = self._read_file(self._file_start, self._head_end - self._file_start)
            part = self.spill.with_suffix(".new")
            part.write_bytes(self._memory + rest)
            os.replace(str(part), str(self.spill))
            if self._file is not None:
                os.close(self._file)
            self._file, self._file_start = os.open(str(self.spill), os.O_RDWR), self._acked
            self._memory.clear()
        self._is_spooled = True
        return {
            "acked": self._acked,
            "start": self._file_start,
            "head_end": self._head_end,
            "end": self.end,
            "tail": self._tail.decode("latin-1"),
        }

    @classmethod
    def restore(cls, spill: Path, document: dict[str, Any]) -> LogBuffer:
        """Return the closed log that `persist` described. Bytes missing from its file (power loss) become a gap."""
        log = cls(2 * MAX_TAIL_BYTES, spill)
        log._acked, log._head_end, log.end = document["acked"], document["head_end"], document["end"]
        log._tail += document["tail"].encode("latin-1")
        log.closed = log._is_spooled = True
        if log._acked < log._head_end:
            try:
                log._file, log._file_start = os.open(str(spill), os.O_RDWR), document["start"]
                file_end = log._file_start + os.fstat(log._file).st_size
            except FileNotFoundError:
                file_end = 0
            log._head_end = max(log._acked, min(log._head_end, file_end))
        return log

    def discard(self) -> None:
        """Free all buffers, and delete the file on disk."""
        self._drop_file()
        self._memory.clear()
        self._tail.clear()

    def _append_head(self, data: bytes) -> None:
        if self._file is None and len(self._memory) + len(data) <= MAX_MEMORY_BYTES:
            self._memory += data
            self._head_end += len(data)
            return
        try:
            if self._file is None:
                self._open_file(self._head_end)
            self._write(data)
            self._head_end += len(data)
        except OSError as exc:
            self.disk_error = exc
            self._head_limit = self._head_end

    def _read_head(self, length: int) -> bytes:
        if self._memory:
            return bytes(self._memory[:length])
        return self._read_file(self._acked, length)

    def _read_file(self, position: int, length: int) -> bytes:
        assert self._file is not None
        return os.pread(self._file, length, position - self._file_start)

    def _open_file(self, start: int) -> None:
        self.spill.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(str(self.spill), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file_start = start

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        size = os.lseek(self._file, 0, os.SEEK_END)
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _drop_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        elif not self._is_spooled:
            return
        try:
            self.spill.unlink()
        except FileNotFoundError:
            pass


def complete_characters(data: bytes) -> bytes:
    """Return `data` without an incomplete UTF-8 character at its end."""
    for back in range(1, min(len(data), 3) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # not a continuation byte: the last character starts here
            length = 2 if 0xC2 <= byte <= 0xDF else 3 if 0xE0 <= byte <= 0xEF else 4 if 0xF0 <= byte <= 0xF4 else 1
            return data[:-back] if length > back else data
    return data


def _continues(byte: bytearray) -> bool:
    return bool(byte) and byte[0] & 0xC0 == 0x80


def last_lines(data: bytes, count: int = 20) -> str:
    """Return the log tail for display. Of a line that was overwritten, as by a progress bar, the last state is kept."""
    lines = data.decode("utf-8", "replace").split("\n")
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return "\n".join(text.splitlines()[-count:])
