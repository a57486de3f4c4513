"""TLS listeners whose connections count from their first packet on.

The event loop's own TLS server creates a connection after its handshake, which a client may delay by a minute. Until
then nothing counts or closes it, and some hundred such clients take all file descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio import Task, Transport
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from orchestune.server.connections import REQUEST_TIMEOUT_SECONDS, BoundedConnection

logger = logging.getLogger("orchestune.server")

_RETRY_SECONDS = 1.0  # seconds before the next attempt to accept connections if no file descriptor is free


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


class TlsListener:
    """Serves TLS connections on a listening socket until it is closed. Used like an `asyncio.Server`."""

    def __init__(
        self, listening: socket.socket, context: ssl.SSLContext, protocol: Callable[[], BoundedConnection]
    ) -> None:
        """Start to accept connections on the running event loop. The listener closes `listening`."""
        listening.setblocking(False)
        self._listening, self._context, self._protocol = listening, context, protocol
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        """Stop accepting connections; those in progress continue. Idempotent."""
        self._accepting.cancel()
        self._listening.close()

    async def wait_closed(self) -> None:
        """Wait until no more connections are accepted."""
        await asyncio.wait([self._accepting])

    async def _accept(self) -> None:
        while True:
            try:
                accepted, address = await self._loop.sock_accept(self._listening)
            except OSError as exc:
                logger.warning("cannot accept connections: %s", exc)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            connection = self._protocol()
            task = self._loop.create_task(self._shake_hands(connection, accepted))
            task.add_done_callback(partial(_discard_if_failed, connection, accepted))
            connection.begin_handshake(Handshake(task), address)

    async def _shake_hands(self, connection: BoundedConnection, accepted: socket.socket) -> None:
        with suppress(OSError):  # the client left, was too slow, or does not speak TLS
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=REQUEST_TIMEOUT_SECONDS
            )


def _discard_if_failed(connection: BoundedConnection, accepted: socket.socket, task: Task[None]) -> None:
    """Forget a connection whose handshake failed; after others it has the transport of the event loop."""
    if isinstance(connection.transport, Handshake):
        connection.connections.discard(connection)
        accepted.close()
