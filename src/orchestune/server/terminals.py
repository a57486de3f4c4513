"""Terminals of trials: buffers between a user and a command, in memory only.

Both ends poll the server, so neither has to accept connections. Each byte has an offset, so calls are idempotent and
can resume after a restart of the server. Delivered bytes are not stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestune.errors import Throttled

MAX_BUFFERED_BYTES = 256 * 2**10
"""buffer size of one direction; beyond that the sender must wait"""
IDLE_TIMEOUT_SECONDS = 600.0
"""a terminal is dropped after that long without a call"""
MAX_TERMINALS_PER_WORKER = 8  # each has two pipes of `MAX_BUFFERED_BYTES`; `orchestune shell` opens one
MAX_TERMINALS = 200  # of all workers: 100 MiB at most


class Pipe:
    """The buffer of one direction."""

    def __init__(self) -> None:
        self._start, self._data = 0, bytearray()

    @property
    def end(self) -> int:
        """Offset after the last byte."""
        return self._start + len(self._data)

    @property
    def is_full(self) -> bool:
        """True if no more bytes are accepted for now."""
        return len(self._data) >= MAX_BUFFERED_BYTES

    def put(self, at: int, data: bytes) -> None:
        """Append the new part of `data`, which begins at offset `at`, up to `MAX_BUFFERED_BYTES` buffered bytes."""
        if at > self.end:  # the sender's offset is from before a restart of the server
            self._start, self._data = at, bytearray()
        new = data[self.end - at :] if at <= self.end else b""
        self._data += new[: MAX_BUFFERED_BYTES - len(self._data)]

    def take(self, after: int) -> bytes:
        """Return all bytes from offset `after`, and drop those before it, which the receiver has acknowledged."""
        if after > self.end:
            self._start, self._data = after, bytearray()
        del self._data[: max(after - self._start, 0)]
        self._start = max(self._start, after)
        return bytes(self._data)


class TerminalRelay:
    """Both directions, the window size, and the exit state of each end."""

    def __init__(self, worker: str = "") -> None:
        self.worker = worker
        self.to_trial, self.to_user = Pipe(), Pipe()
        self.size: list[int] | None = None
        """rows and columns"""
        self.is_disconnected = False
        """True if the user has disconnected"""
        self.code: int | None = None
        """exit code of the command, None while it runs"""
        self.last_call = 0.0


class Terminals:
    """The terminals of this server, by attempt. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._terminals: dict[str, TerminalRelay] = {}

    def of(self, attempt: str, worker: str, is_open: bool = True) -> TerminalRelay:
        """Return the terminal of an attempt of `worker`, a new one if absent, which is kept only if `is_open`.

        Beyond `MAX_TERMINALS_PER_WORKER` the least recently used terminal of the same worker is evicted. Raises
        Throttled if there are `MAX_TERMINALS` of other workers.
        """
        now = self._clock()
        idle = [name for name, terminal in self._terminals.items() if now - terminal.last_call > IDLE_TIMEOUT_SECONDS]
        for name in idle:
            del self._terminals[name]
        terminal = self._terminals.get(attempt)
        if terminal is None:
            terminal = TerminalRelay(worker)
            if is_open:
                self._make_room(worker)
                self._terminals[attempt] = terminal
        terminal.last_call = now
        return terminal

    def _make_room(self, worker: str) -> None:
        own = [name for name, terminal in self._terminals.items() if terminal.worker == worker]
        if len(own) >= MAX_TERMINALS_PER_WORKER:
            del self._terminals[min(own, key=lambda name: self._terminals[name].last_call)]
        if len(self._terminals) >= MAX_TERMINALS:
            text = f"cannot open another terminal (at most {MAX_TERMINALS} at once on this server)"
            raise Throttled(text, "retry when others have closed theirs")
