"""One forwarded connection: a local socket at one end, a websocket to the API server at the other.

Implemented here because clients of Kubernetes have no back-pressure, and do not handle broken or silent connections.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

_BLOCK = 1 << 16
_FULL = 1 << 20
"""bytes buffered for one side above which the other is not read"""
PING = 4.0
"""seconds of silence after which the far end is pinged"""
SILENCE = 10.0
"""seconds of silence after which the connection counts as broken: network failure, or the machine slept"""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_DATA, _ERROR = 0, 1
"""channels of the one forwarded port; the first frame of each has only the port's number"""


@dataclass
class ForwardedConnection:
    """A connection that `join` has opened."""

    socket: socket.socket
    """this process's end; closing it closes the connection"""
    trouble: str = ""
    """error message of the far end if it could not be reached"""
    decided: threading.Event = field(default_factory=threading.Event)
    """set at the first byte from the far end, and when the connection ends"""


def join(web: socket.socket, *, ping: float = PING, silence: float = SILENCE) -> ForwardedConnection:
    """Forward between `web`, an open websocket, and the returned end, in a background thread."""
    near, far = socket.socketpair()
    wire = ForwardedConnection(near)
    pump = _Pump(wire, web, far, ping, silence)
    threading.Thread(target=pump.run, daemon=True, name="forward").start()
    return wire


class _Pump:
    """Forwarding loop. A side is not read while the buffer for the other is full."""

    def __init__(
        self, wire: ForwardedConnection, web: socket.socket, local: socket.socket, ping: float, silence: float
    ) -> None:
        self._wire, self._web, self._local = wire, web, local
        self._ping, self._silence = ping, silence
        self._incoming, self._to_web, self._to_local = bytearray(), bytearray(), bytearray()
        self._begun: set[int] = set()
        self._channel = _DATA
        self._over = False

    def run(self) -> None:
        """Forward until one side closes, or the far end is silent for too long."""
        self._web.setblocking(False)
        self._local.setblocking(False)
        try:
            self._forward()
        except OSError:
            pass  # a broken connection has ended; its user opens another
        finally:
            with suppress(OSError):
                self._web.close()
            self._local.close()
            self._wire.decided.set()

    def _forward(self) -> None:
        last_received = last_ping = time.monotonic()
        while not self._over or self._to_local:
            full = len(self._to_local) > _FULL
            ready = self._wait(full)
            now = time.monotonic()
            if full or (self._web in ready and self._read_web()):
                last_received = now
            elif now - last_received > self._silence:
                return
            elif now - max(last_received, last_ping) > self._ping:
                self._to_web += frame(_PING, b"")
                last_ping = now
            if self._local in ready and not self._read_local():
                return
            self._write(self._web, self._to_web)
            self._write(self._local, self._to_local)

    def _wait(self, full: bool) -> set[socket.socket]:
        """Return the readable sides. Also returns when a side is writable, and in time to ping."""
        poll, seconds, buffered = select.poll(), self._ping / 2, set[socket.socket]()
        if not self._over:
            poll.register(self._web, (0 if full else select.POLLIN) | (select.POLLOUT if self._to_web else 0))
            if not full and isinstance(self._web, ssl.SSLSocket) and self._web.pending():
                seconds, buffered = 0, {self._web}
        take = 0 if len(self._to_web) > _FULL else select.POLLIN
        poll.register(self._local, take | (select.POLLOUT if self._to_local else 0))
        sides = {self._web.fileno(): self._web, self._local.fileno(): self._local}
        return buffered | {sides[number] for number, events in poll.poll(seconds * 1000) if events != select.POLLOUT}

    def _read_web(self) -> bool:
        """Read available data; return True if there was any."""
        try:
            data = self._web.recv(_BLOCK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        if not data:
            self._over = True
        self._incoming += data
        for kind, content in frames(self._incoming):
            self._take(kind, content)
        return True

    def _take(self, kind: int, content: bytes) -> None:
        if kind == _PING:
            self._to_web += frame(_PONG, content)
        elif kind == _CLOSE:
            self._over = True
        elif kind == _CONTINUATION:
            self._deliver(content)
        elif kind in (_BINARY, _TEXT) and content:
            self._channel = content[0]
            if self._channel in self._begun:
                self._deliver(content[1:])
            self._begun.add(self._channel)

    def _deliver(self, data: bytes) -> None:
        if self._channel == _DATA:
            self._to_local += data
            self._wire.decided.set()
        elif self._channel == _ERROR:
            self._wire.trouble += data.decode("utf-8", "replace")
            self._over = True

    def _read_local(self) -> bool:
        """Read data to send; return False if this process has closed its end."""
        try:
            data = self._local.recv(_BLOCK)
        except BlockingIOError:
            return True
        self._to_web += frame(_BINARY, bytes([_DATA]) + data) if data else b""
        return bool(data)

    def _write(self, side: socket.socket, waiting: bytearray) -> None:
        if waiting:
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                del waiting[: side.send(waiting[:_BLOCK])]


def frame(kind: int, content: bytes) -> bytes:
    """Return a complete frame from client to server (RFC 6455). The mask is zero: TLS makes masking unnecessary."""
    size = len(content)
    if size < 126:
        head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, size)
    return head + bytes(4) + content


def frames(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Remove and yield the complete frames from server to client at the start of `data`, as kind and content."""
    while len(data) >= 2:
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            return
        kind, content = data[0] & 0x0F, bytes(data[start : start + size])
        del data[: start + size]
        yield kind, content
