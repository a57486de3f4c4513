"""Listeners that accept all waiting connections at once, and whose TLS connections count from their first packet on.

The event loop's own server accepts one connection in each of its turns. A server with thousands of workers makes some
hundred turns a second, so that after a restart their connections would wait in the kernel's queue for minutes, and
probes behind them. Its TLS server creates a connection only after the handshake, which a client may delay by a minute;
until then nothing counts or closes it, and some hundred such clients take all file descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio import AbstractEventLoop, Task, TimerHandle, Transport
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from orchestune.server.connections import REQUEST_TIMEOUT_SECONDS, BoundedConnection

logger = logging.getLogger("orchestune.server")

MAX_ACCEPTS_PER_TURN = 64
"""connections accepted in one turn of the event loop: requests of earlier ones are answered in between"""
_RETRY_SECONDS = 1.0  # seconds before the next attempt to accept connections if no file descriptor is free


class Listener:
    """Serves the connections of a listening socket, TCP or Unix, until it is closed. Used like an `asyncio.Server`."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], BoundedConnection]) -> None:
        """Start to accept connections on the running event loop. The listener closes `listening`."""
        listening.setblocking(False)
        self._listening, self._protocol = listening, protocol
        self._loop = asyncio.get_running_loop()
        self._retry: TimerHandle | None = None
        self._opening: set[Task[None]] = set()
        self._is_closed = False
        self._resume()

    def close(self) -> None:
        """Stop accepting connections; those in progress continue. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def get_loop(self) -> AbstractEventLoop:
        """Return the event loop on which connections are served."""
        return self._loop

    async def wait_closed(self) -> None:
        """Wait until the accepted connections have been handed over."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS_PER_TURN):
            try:
                accepted, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                logger.warning("cannot accept connections: %s", exc)
                self._loop.remove_reader(self._listening)
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._resume)
                return
            accepted.setblocking(False)
            task = self._open(accepted, address)
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _open(self, accepted: socket.socket, address: tuple[str, int]) -> Task[None]:
        """Start to serve an accepted connection."""
        return self._loop.create_task(_connect(self._loop, self._protocol, accepted))


class TlsListener(Listener):
    """Serves TLS connections."""

    def __init__(
        self, listening: socket.socket, context: ssl.SSLContext, protocol: Callable[[], BoundedConnection]
    ) -> None:
        self._context = context
        super().__init__(listening, protocol)

    async def wait_closed(self) -> None:
        """Return at once: clients may delay their handshakes, and connections are closed by the server's shutdown."""

    def _open(self, accepted: socket.socket, address: tuple[str, int]) -> Task[None]:
        connection = self._protocol()
        task = self._loop.create_task(self._shake_hands(connection, accepted))
        task.add_done_callback(partial(_discard_if_failed, connection, accepted))
        connection.begin_handshake(Handshake(task), address)
        return task

    async def _shake_hands(self, connection: BoundedConnection, accepted: socket.socket) -> None:
        with suppress(OSError):  # the client left, was too slow, or does not speak TLS
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=REQUEST_TIMEOUT_SECONDS
            )


class Handshake(Transport):
    """The transport of a connection until its handshake is complete. It can only be closed, which aborts it."""

    def __init__(self, task: Task[None]) -> None:
        super().__init__()
        self._task = task

    def close(self) -> None:
        self._task.cancel()

    def abort(self) -> None:
        self._task.cancel()

    def is_closing(self) -> bool:
        return self._task.cancelling() > 0


async def _connect(loop: AbstractEventLoop, protocol: Callable[[], BoundedConnection], accepted: socket.socket) -> None:
    try:
        await loop.connect_accepted_socket(protocol, accepted)
    except OSError:  # the client left
        accepted.close()


def _discard_if_failed(connection: BoundedConnection, accepted: socket.socket, task: Task[None]) -> None:
    """Forget a connection whose handshake failed; after others it has the transport of the event loop."""
    if isinstance(connection.transport, Handshake):
        connection.connections.discard(connection)
        accepted.close()
