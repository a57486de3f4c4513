"""A line to a TCP server that a test cuts, lets fall silent and mends: the network of a laptop on the move."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class Line:
    """`with Line("127.0.0.1", 6443) as line:` forwards each connection to `line.port`."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.made = 0
        """connections so far"""
        self._open: list[tuple[socket.socket, threading.Event]] = []
        self._lock = threading.Lock()
        self._up, self._closed = True, False

    def __enter__(self) -> Line:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `mend`."""
        self._up = False
        with self._lock:
            for side, _ in self._open:
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def silence(self) -> None:
        """Drop everything in transit without an error; new connections are not answered either."""
        self._up = False
        with self._lock:
            for _, silent in self._open:
                silent.set()

    def mend(self) -> None:
        """Take new connections again. Those that were silenced stay so, as after a sleep."""
        self._up = True

    def _accept(self) -> None:
        while not self._closed:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            if not self._up:
                near.close()
                continue
            self.made += 1
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        silent = threading.Event()
        try:
            far = socket.create_connection(self._upstream, 10)
        except OSError:  # the upstream is down just now
            near.close()
            return
        far.settimeout(None)
        with self._lock:
            self._open += [(near, silent), (far, silent)]
        if self._up:
            join(near, far, silent)
        else:  # cut meanwhile
            near.close()
            far.close()


def join(near: socket.socket, far: socket.socket, silent: threading.Event | None = None) -> None:
    """Carry bytes both ways until one side has ended; what comes once `silent` is set vanishes."""
    with near, far:
        back = threading.Thread(target=_carry, args=(far, near, silent), daemon=True)
        back.start()
        _carry(near, far, silent)
        back.join()


def _carry(source: socket.socket, target: socket.socket, silent: threading.Event | None) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if silent is None or not silent.is_set():
                target.sendall(data)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
