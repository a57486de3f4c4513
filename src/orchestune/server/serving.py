"""uvicorn on sockets that are bound beforehand, with a shutdown that no request or thread can delay."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from orchestune.errors import BadInput, UsageError
from orchestune.server import embedded
from orchestune.server.connections import BoundedConnection
from orchestune.server.peers import FOR_WORKERS, OF_ONE_USER
from orchestune.server.settings import HOSTED_PORT, Settings
from orchestune.server.tls import TlsListener

logger = logging.getLogger("orchestune.server")

ANSWERING = 4
"""timeout in seconds for requests in progress once the server drains; uvicorn accepts whole seconds only"""
STOPPING = 3.0
"""timeout in seconds for the controllers after that"""
LONGEST = 9.5
"""upper bound in seconds for the whole shutdown, even if a thread hangs"""

_KEEP_ALIVE = 75
"""idle timeout of a connection in seconds; longer than a worker's longest pause between two calls"""
BACKLOG = 2048
_ANY = "::"


class UvicornServer(uvicorn.Server):
    """uvicorn server that shuts down by SIGTERM, SIGINT or `end`. Calls `on_started` and `on_draining` on its loop."""

    def __init__(
        self,
        settings: Settings,
        app: ASGIApp,
        *,
        on_started: Callable[[], None],
        on_draining: Callable[[], None],
        local: socket.socket | None = None,
    ) -> None:
        """`local`: a Unix socket to serve as well, from the same time on."""
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=BoundedConnection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=ANSWERING,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        try:
            config.load()
        except (ssl.SSLError, OSError) as exc:
            raise BadInput.one(f"certificate and key cannot be used: {exc}", key="tls_cert") from exc
        super().__init__(config)
        self._on_started, self._on_draining = on_started, on_draining
        self._local = local
        self._reserved: list[socket.socket] = []

    def end(self) -> None:
        """Drain, then shut down. Idempotent; callable from any thread."""
        self.should_exit = True

    @property
    def answering(self) -> bool:
        """True if a request is in progress: a file upload or download may take long."""
        return bool(self.server_state.tasks)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state[OF_ONE_USER] = self._local is not None
        await super().startup([])
        for listening in sockets or []:
            await self._listen(listening, self._protocol({}))
        if self._local is not None:
            loop = asyncio.get_running_loop()
            self.servers.append(await loop.create_unix_server(self._protocol({}), sock=self._local, backlog=BACKLOG))
        self._on_started()

    async def listen_too(self, host: str, port: int) -> int:
        """Serve workers at another address until shutdown and return its port. Raises OSError if binding fails."""
        listening = _bound(host, port)
        self._reserved += reserve_ipv6(listening)
        await self._listen(listening, self._protocol({FOR_WORKERS: True}))
        logger.info("serving elsewhere too", extra={"host": host, "port": listening.getsockname()[1]})
        return int(listening.getsockname()[1])

    async def _listen(self, listening: socket.socket, protocol: Callable[[], BoundedConnection]) -> None:
        """Serve a bound socket until shutdown."""
        if self.config.ssl is not None:
            self.servers.append(TlsListener(listening, self.config.ssl, protocol))  # type: ignore[arg-type]
            return
        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(protocol, sock=listening, backlog=BACKLOG))

    def _protocol(self, state: dict[str, bool]) -> Callable[[], BoundedConnection]:
        """Return the protocol factory of a listener; `state` is added to the state of its requests."""
        shared = {**self.lifespan.state, **state}
        return partial(BoundedConnection, config=self.config, server_state=self.server_state, app_state=shared)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_draining()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # a client that does not read would keep it open for ever
        while self._reserved:
            self._reserved.pop().close()
        await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down cleanly on signals; uvicorn would raise them again after the shutdown."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True  # second signal: do not wait for requests in progress
        self.should_exit = True


def listen(settings: Settings) -> socket.socket:
    """Bind the server's socket before anything else, so that the port is known. Raises UsageError if that fails."""
    ports = [settings.port] if settings.port is not None else [HOSTED_PORT]
    if settings.embedded and settings.port is None:
        ports = [embedded.sticky_port(settings.state, settings.host), 0]
    for port in ports:
        try:
            return _bound(settings.host, port)
        except (OSError, UnicodeError) as exc:  # UnicodeError: the host has an empty or too long label
            error = exc
    why = getattr(error, "strerror", None) or error
    message = f"cannot listen on {settings.host} port {ports[0]}: {why}"
    raise UsageError(message, "see --host and --port") from error


def reserve_ipv6(listening: socket.socket) -> list[socket.socket]:
    """Bind the same IPv6 port, without listening, if the server listens on IPv4 only. The caller closes the returned
    sockets at shutdown.

    A name such as `localhost` often has addresses of both kinds, and programs try IPv6 first. Another user of the
    machine who listens there would receive the tokens of commands, and could relay workers' proof requests to the
    server.
    """
    if listening.family != socket.AF_INET or not socket.has_ipv6:
        return []
    address, port = listening.getsockname()
    reserving = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        reserving.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        reserving.bind(("::1" if address.startswith("127.") else "::", port))
    except OSError as exc:
        reserving.close()
        if exc.errno == errno.EADDRINUSE:
            text = "another program has port %s of IPv6: what reaches the server by a name may come to it"
            logger.warning(text, port)
        return []
    return [reserving]


def _bound(host: str, port: int) -> socket.socket:
    """Return a listening socket. `::` means all addresses of the machine, IPv4 and (if the kernel has it) IPv6."""
    if host == _ANY and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == _ANY:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


class Deadline:
    """Exits the process if the shutdown takes too long: a thread in a system call cannot be interrupted."""

    def __init__(self, seconds: float = LONGEST) -> None:
        self._timer = threading.Timer(seconds, self._give_up)
        self._timer.daemon = True

    def start(self) -> None:
        """Start the timer. Idempotent."""
        if self._timer.ident is None:
            self._timer.start()

    def reached_the_end(self) -> None:
        """Cancel the timer, unless other non-daemon threads are still running."""
        others = (thread for thread in threading.enumerate() if not thread.daemon)
        if all(thread is threading.main_thread() for thread in others):
            self._timer.cancel()

    def _give_up(self) -> None:
        stuck = [thread.name for thread in threading.enumerate() if not thread.daemon]
        logger.error("the end took too long", extra={"threads": ", ".join(stuck)})
        os._exit(1)
