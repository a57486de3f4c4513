"""Terminals of trials: bytes on their way between a person and a command, in memory alone.

Both ends call; neither has to be reached. Each byte has its place, so that a call may be repeated, and an end whose
server was restarted goes on where it was. What went through is nowhere afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestune.errors import Throttled

MOST = 256 * 2**10
"""bytes that wait for the other end; who sends more waits"""
FORGOTTEN = 600.0
"""seconds after which a terminal that nobody calls for is dropped"""
MOST_OF_WORKER = 8  # terminals of one worker, each with two pipes of `MOST` bytes; `orchestune shell` opens one
MOST_TERMINALS = 200  # terminals of all workers: 100 MiB at most


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
        """Take what is new of `data`, which begins at place `at`, until the pipe holds `MOST` bytes."""
        if at > self.end:  # it knows of a server before this one
            self._start, self._data = at, bytearray()
        new = data[self.end - at :] if at <= self.end else b""
        self._data += new[: MOST - len(self._data)]

    def take(self, after: int) -> bytes:
        """Everything behind place `after`; what is before it has arrived, and is dropped."""
        if after > self.end:
            self._start, self._data = after, bytearray()
        del self._data[: max(after - self._start, 0)]
        self._start = max(self._start, after)
        return bytes(self._data)


class Terminal:
    """Both directions, the window's size, and how each end ended."""

    def __init__(self, worker: str = "") -> None:
        self.worker = worker
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

    def of(self, attempt: str, worker: str, is_open: bool = True) -> Terminal:
        """Return the terminal of an attempt of `worker`; unless `is_open`, one that is not there is not kept either.

        Beyond `MOST_OF_WORKER` the one of the same worker goes that was not called for the longest. Throttled if there
        are `MOST_TERMINALS` of other workers.
        """
        now = self._clock()
        for name in [name for name, terminal in self._found.items() if now - terminal.called > FORGOTTEN]:
            del self._found[name]
        terminal = self._found.get(attempt)
        if terminal is None:
            terminal = Terminal(worker)
            if is_open:
                self._make_room(worker)
                self._found[attempt] = terminal
        terminal.called = now
        return terminal

    def _make_room(self, worker: str) -> None:
        own = [name for name, terminal in self._found.items() if terminal.worker == worker]
        if len(own) >= MOST_OF_WORKER:
            del self._found[min(own, key=lambda name: self._found[name].called)]
        if len(self._found) >= MOST_TERMINALS:
            text = f"cannot open another terminal: this server has {MOST_TERMINALS}, which is the most at once"
            raise Throttled(text, "retry when others have closed theirs")
