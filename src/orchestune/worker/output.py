"""The log of one attempt between the user's process and the server: in order, in bounded memory, never in the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

MEMORY = 512 * 1024
"""bytes that wait in memory for the server; more of them wait on disk"""
TAIL = 1024 * 1024
"""bytes kept of the end of a log that is over its cap"""
LAST = 4096


class Log:
    """Takes bytes at one end and gives parts `[offset, text, gap]` at the other until they are acknowledged.

    Offsets count what the process wrote. A log over `cap` keeps its head and the end of its tail; the part after the
    gap says how many bytes are missing, and is there once the log is closed. What cannot be sent soon waits in the
    file `spill`; where the disk is full the head ends early, and the gap is larger.

    Parts end between characters of UTF-8, so that each can be read alone.
    """

    def __init__(self, cap: int, spill: Path) -> None:
        self._tail_limit = min(TAIL, cap // 2)
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
        self._described = False
        """the spool tells of the file, and needs it until the log is discarded"""
        self._tail = bytearray()
        self._started = b""

    def append(self, data: bytes) -> None:
        """Take what the process wrote next. A character that is not whole yet waits for its rest."""
        data = self._started + data
        complete = whole(data)
        self._started = data[len(complete) :]
        if complete:
            self._append(complete)

    def _append(self, data: bytes) -> None:
        room = self._head_limit - self._head_end
        if self.end == self._head_end and room > 0:
            self._append_head(whole(data[:room]) if len(data) > room else data)
        beyond = self.end + len(data) - self._head_end
        if beyond > 0:
            self._tail += data[max(0, len(data) - beyond) :]
            if len(self._tail) > 2 * self._tail_limit:
                del self._tail[: len(self._tail) - self._tail_limit]
        self.end += len(data)
        self.last = (self.last + data)[-LAST:] if len(data) < LAST else data[-LAST:]

    def close(self) -> None:
        """Nothing more comes: the tail may go."""
        self._append(self._started)
        self._started = b""
        self.closed = True
        excess = max(0, len(self._tail) - self._tail_limit)
        if self.end - len(self._tail) + excess > self._head_end:  # it begins anywhere: at a character
            excess += next((at for at in range(3) if not _continues(self._tail[excess + at : excess + at + 1])), 3)
        del self._tail[:excess]

    @property
    def waiting(self) -> int:
        """Bytes that could be sent now."""
        waiting = max(0, self._head_end - self._acked)
        if self.closed and self._tail:
            waiting += self.end - max(self._acked, self.end - len(self._tail))
        return waiting

    def parts(self, limit: int) -> tuple[list[list[Any]], int]:
        """At most `limit` bytes that were not acknowledged, and the position to acknowledge once they arrived."""
        found: list[list[Any]] = []
        position = self._acked
        if position < self._head_end:
            data = self._read_head(min(limit, self._head_end - position))
            if position + len(data) < self._head_end:
                data = whole(data) or data
            found.append([position, data.decode("latin-1"), 0])
            position += len(data)
            limit -= len(data)
        start = self.end - len(self._tail)
        if self.closed and self._tail and limit > 0 and self._head_end <= position < self.end:
            at = max(start, position)
            data = bytes(self._tail[at - start : at - start + limit])
            if at + len(data) < self.end:
                data = whole(data) or (b"" if found else data)  # what is left of the limit may be less than a character
            if data:
                found.append([at, data.decode("latin-1"), start - self._head_end if at == start else 0])
                position = at + len(data)
        return found, position

    def acknowledge(self, position: int) -> None:
        """The server has everything before `position`."""
        if position <= self._acked:
            return
        drop = min(position, self._acked + len(self._memory)) - self._acked
        if drop > 0:
            del self._memory[:drop]
        self._acked = position
        if self._file is not None and position >= self._head_end and not self._described:
            self._drop_file()

    def persist(self) -> dict[str, Any]:
        """Move everything that waits to disk and return what `restore` needs. OSError where the disk is full."""
        self._append(self._started)
        self._started = b""
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
        self._described = True
        return {
            "acked": self._acked,
            "start": self._file_start,
            "head_end": self._head_end,
            "end": self.end,
            "tail": self._tail.decode("latin-1"),
        }

    @classmethod
    def restore(cls, spill: Path, document: dict[str, Any]) -> Log:
        """The closed log that `persist` described. What its file lacks, after a power cut for example, is a gap."""
        log = cls(2 * TAIL, spill)
        log._acked, log._head_end, log.end = document["acked"], document["head_end"], document["end"]
        log._tail += document["tail"].encode("latin-1")
        log.closed = log._described = True
        if log._acked < log._head_end:
            try:
                log._file, log._file_start = os.open(str(spill), os.O_RDWR), document["start"]
                there = log._file_start + os.fstat(log._file).st_size
            except FileNotFoundError:
                there = 0
            log._head_end = max(log._acked, min(log._head_end, there))
        return log

    def discard(self) -> None:
        """Free what is held, on disk too."""
        self._drop_file()
        self._memory.clear()
        self._tail.clear()

    def _append_head(self, data: bytes) -> None:
        if self._file is None and len(self._memory) + len(data) <= MEMORY:
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
        elif not self._described:
            return
        try:
            self.spill.unlink()
        except FileNotFoundError:
            pass


def whole(data: bytes) -> bytes:
    """Without the start of a character of UTF-8 at the end whose rest is missing."""
    for back in range(1, min(len(data), 3) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # no continuation: here the last character starts
            length = 2 if 0xC2 <= byte <= 0xDF else 3 if 0xE0 <= byte <= 0xEF else 4 if 0xF0 <= byte <= 0xF4 else 1
            return data[:-back] if length > back else data
    return data


def _continues(byte: bytearray) -> bool:
    return bool(byte) and byte[0] & 0xC0 == 0x80


def last_lines(data: bytes, count: int = 20) -> str:
    """The end of a log for people: of a line that was written over, as a progress bar does, what stood there last."""
    lines = data.decode("utf-8", "replace").split("\n")
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return "\n".join(text.splitlines()[-count:])
