"""Terminals of trials: bytes on their way between a person and a command, in memory alone.

Both ends call; neither has to be reached. Each byte has its place, so that a call may be repeated, and an end whose
server was restarted goes on where it was. What went through is nowhere afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MOST = 256 * 2**10
"""bytes that wait for the other end; who sends more waits"""
FORGOTTEN = 600.0
"""seconds after which a terminal that nobody calls for is dropped"""


class Pipe:
    """One direction."""

    def __init__(self) -> None:
        self._start, self._data = 0, bytearray()

    @property
    def end(self) -> int:
        """The place behind the last byte."""
        return self._start + len(self._data)

    @property
    def full(self) -> bool:
        """Whether nothing more is taken for now."""
        return len(self._data) >= MOST

    def put(self, at: int, data: bytes) -> None:
        """Take what is new of `data`, which begins at place `at`."""
        if at > self.end:  # it knows of a server before this one
            self._start, self._data = at, bytearray()
        self._data += data[self.end - at :] if at <= self.end else b""

    def take(self, after: int) -> bytes:
        """Everything behind place `after`; what is before it has arrived, and is dropped."""
        if after > self.end:
            self._start, self._data = after, bytearray()
        del self._data[: max(after - self._start, 0)]
        self._start = max(self._start, after)
        return bytes(self._data)


class Terminal:
    """Both directions, the window's size, and how each end ended."""

    def __init__(self) -> None:
        self.to_trial, self.to_user = Pipe(), Pipe()
        self.size: list[int] | None = None
        """rows and columns"""
        self.left = False
        """the user is gone"""
        self.code: int | None = None
        """how the command ended"""
        self.called = 0.0


class Terminals:
    """All of this server, by attempt. Used on the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, Terminal] = {}

    def of(self, attempt: str) -> Terminal:
        """That of an attempt, which somebody calls for."""
        now = self._clock()
        for name in [name for name, terminal in self._found.items() if now - terminal.called > FORGOTTEN]:
            del self._found[name]
        found = self._found.setdefault(attempt, Terminal())
        found.called = now
        return found
