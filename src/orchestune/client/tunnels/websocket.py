"""One forwarded connection: a local socket at one end, a websocket to the API server at the other.

Kubernetes client libraries provide no back-pressure and do not handle broken or silent connections; this module does.
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

_BLOCK_BYTES = 1 << 16
_MAX_BUFFERED_BYTES = 1 << 20
"""bytes buffered for one side above which the other is not read"""
_MAX_FRAME_BYTES = 16 << 20
"""of one frame from the API server, whose own have some KiB"""
PING_AFTER_SECONDS = 4.0
"""seconds of silence after which the far end is pinged"""
SILENCE_TIMEOUT_SECONDS = 10.0
"""seconds of silence after which the connection counts as broken: network failure, or the machine slept"""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_DATA_CHANNEL, _ERROR_CHANNEL = 0, 1
"""channels of the one forwarded port; the first frame of each contains only the port number"""


@dataclass
class ForwardedConnection:
    """A connection that `join` has opened."""

    socket: socket.socket
    """this process's end; closing it closes the connection"""
    error: str = ""
    """error message from the API server if the far end could not be reached"""
    outcome_known: threading.Event = field(default_factory=threading.Event)
    """set at the first byte from the far end, and when the connection ends"""


def join(
    web: socket.socket, *, ping: float = PING_AFTER_SECONDS, silence: float = SILENCE_TIMEOUT_SECONDS
) -> ForwardedConnection:
    """Forward between `web`, an open websocket, and the returned end, in a background thread."""
    near, pump_end = socket.socketpair()
    connection = ForwardedConnection(near)
    pump = _Pump(connection, web, pump_end, ping, silence)
    threading.Thread(target=pump.run, daemon=True, name="forward").start()
    return connection


class _Pump:
    """Forwarding loop. A side is not read while the buffer for the other is full."""

    def __init__(
        self, connection: ForwardedConnection, web: socket.socket, local: socket.socket, ping: float, silence: float
    ) -> None:
        self._connection, self._web, self._local = connection, web, local
        self._ping, self._silence = ping, silence
        self._incoming, self._to_web, self._to_local = bytearray(), bytearray(), bytearray()
        self._channels_seen: set[int] = set()
        self._channel = _DATA_CHANNEL
        self._remote_closed = False

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
            self._connection.outcome_known.set()

    def _forward(self) -> None:
        last_received = last_ping = time.monotonic()
        while not self._remote_closed or self._to_local:
            full = len(self._to_local) > _MAX_BUFFERED_BYTES
            ready = self._wait(full)
            now = time.monotonic()
            # A full buffer resets the silence timer: the websocket is not read then, so the server may well be alive.
            if full or (self._web in ready and self._read_web()):
                last_received = now
            elif now - last_received > self._silence:
                return
            elif now - max(last_received, last_ping) > self._ping:
                self._to_web += encode_frame(_PING, b"")
                last_ping = now
            if self._local in ready and not self._read_local():
                return
            self._write(self._web, self._to_web)
            self._write(self._local, self._to_local)

    def _wait(self, full: bool) -> set[socket.socket]:
        """Return the readable sides. Also returns when a side is writable, and in time to ping."""
        poll, seconds, buffered = select.poll(), self._ping / 2, set[socket.socket]()
        if not self._remote_closed:
            poll.register(self._web, (0 if full else select.POLLIN) | (select.POLLOUT if self._to_web else 0))
            if not full and isinstance(self._web, ssl.SSLSocket) and self._web.pending():
                seconds, buffered = 0, {self._web}
        local_events = 0 if len(self._to_web) > _MAX_BUFFERED_BYTES else select.POLLIN
        poll.register(self._local, local_events | (select.POLLOUT if self._to_local else 0))
        sides = {self._web.fileno(): self._web, self._local.fileno(): self._local}
        return buffered | {sides[number] for number, events in poll.poll(seconds * 1000) if events != select.POLLOUT}

    def _read_web(self) -> bool:
        """Read available data; return True if there was any."""
        try:
            data = self._web.recv(_BLOCK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        if not data:
            self._remote_closed = True
        self._incoming += data
        for opcode, payload in decode_frames(self._incoming):
            self._handle_frame(opcode, payload)
        return True

    def _handle_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._to_web += encode_frame(_PONG, payload)
        elif opcode == _CLOSE:
            self._remote_closed = True
        elif opcode == _CONTINUATION:
            self._deliver(payload)
        elif opcode in (_BINARY, _TEXT) and payload:
            self._channel = payload[0]
            if self._channel in self._channels_seen:
                self._deliver(payload[1:])
            self._channels_seen.add(self._channel)

    def _deliver(self, data: bytes) -> None:
        if self._channel == _DATA_CHANNEL:
            self._to_local += data
            self._connection.outcome_known.set()
        elif self._channel == _ERROR_CHANNEL:
            self._connection.error += data.decode("utf-8", "replace")
            self._remote_closed = True

    def _read_local(self) -> bool:
        """Read data to send; return False if this process has closed its end."""
        try:
            data = self._local.recv(_BLOCK_BYTES)
        except BlockingIOError:
            return True
        self._to_web += encode_frame(_BINARY, bytes([_DATA_CHANNEL]) + data) if data else b""
        return bool(data)

    def _write(self, side: socket.socket, waiting: bytearray) -> None:
        if waiting:
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                del waiting[: side.send(waiting[:_BLOCK_BYTES])]


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return a complete frame from client to server (RFC 6455). The mask is zero: TLS makes masking unnecessary."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + bytes(4) + payload


def decode_frames(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Remove and yield the complete frames from server to client at the start of `data`, as opcode and payload.

    Raises OSError if a frame is too large to be buffered.
    """
    while len(data) >= 2:
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return
            size = int.from_bytes(data[2:start], "big")
        if size > _MAX_FRAME_BYTES:
            raise OSError(f"the API server sent a frame of {size} bytes")
        if len(data) < start + size:
            return
        opcode, payload = data[0] & 0x0F, bytes(data[start : start + size])
        del data[: start + size]
        yield opcode, payload
