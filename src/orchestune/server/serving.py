"""uvicorn on sockets that are bound beforehand, with a shutdown that no request or thread can delay."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from orchestune.errors import BadInput, UsageError
from orchestune.server import embedded
from orchestune.server.connections import BoundedConnection
from orchestune.server.listeners import Listener, TlsListener
from orchestune.server.peers import FOR_WORKERS, OF_ONE_USER
from orchestune.server.settings import HOSTED_PORT, Settings
from orchestune.system import local_socket
from orchestune.system.listening import BoundPort, bind
from orchestune.system.local_socket import LocalListener

logger = logging.getLogger("orchestune.server")

REQUESTS_TIMEOUT_SECONDS = 4
"""timeout in seconds for requests in progress once the server drains; uvicorn accepts whole seconds only"""
CONTROLLERS_TIMEOUT_SECONDS = 3.0
"""timeout in seconds for the controllers after that"""
MAX_SHUTDOWN_SECONDS = 9.5
"""upper bound in seconds for the whole shutdown, even if a thread hangs"""

_IDLE_TIMEOUT_SECONDS = 75
"""idle timeout of a connection in seconds; longer than a worker's longest pause between two calls"""
BACKLOG = 2048
_PROBE_TIMEOUT_SECONDS = 1.0
"""timeout in seconds for another server that listens on the same Unix socket"""


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
            timeout_keep_alive=_IDLE_TIMEOUT_SECONDS,
            timeout_graceful_shutdown=REQUESTS_TIMEOUT_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        try:
            config.load()
        except (ssl.SSLError, OSError) as exc:
            raise BadInput.one(f"cannot use the certificate and key: {exc}", key="tls_cert") from exc
        super().__init__(config)
        self._on_started, self._on_draining = on_started, on_draining
        self._local, self._is_embedded = local, settings.embedded
        self._bound: list[BoundPort] = []

    def end(self) -> None:
        """Drain, then shut down. Idempotent; callable from any thread."""
        self.should_exit = True

    @property
    def has_requests(self) -> bool:
        """True if a request is in progress: a file upload or download may take long."""
        return bool(self.server_state.tasks)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state[OF_ONE_USER] = self._is_embedded
        await super().startup([])
        for listening in sockets or []:
            self._listen(listening, self._protocol({}))
        if self._local is not None:
            self._listen(self._local, self._protocol({}), with_tls=False)
        self._on_started()

    async def listen_also(self, host: str, port: int) -> int:
        """Serve workers at another address until shutdown and return its port. Raises OSError if binding fails."""
        # Workers that dial a literal address reach no other one. Its port may be that of the server's other addresses.
        bound = bind(host, port, BACKLOG, reserve=not _is_literal(host))
        self._bound.append(bound)
        for listening in bound.sockets:
            self._listen(listening, self._protocol({FOR_WORKERS: True}))
        logger.info("serving at another address", extra={"host": host, "port": bound.number})
        return bound.number

    def _listen(
        self, listening: socket.socket, protocol: Callable[[], BoundedConnection], *, with_tls: bool = True
    ) -> None:
        """Serve a bound socket until shutdown."""
        listening.listen(BACKLOG)
        if self.config.ssl is not None and with_tls:
            listener: Listener = TlsListener(listening, self.config.ssl, protocol)
        else:
            listener = Listener(listening, protocol)
        self.servers.append(listener)  # type: ignore[arg-type]

    def _protocol(self, state: dict[str, bool]) -> Callable[[], BoundedConnection]:
        """Return the protocol factory of a listener; `state` is added to the state of its requests."""
        shared = {**self.lifespan.state, **state}
        return partial(BoundedConnection, config=self.config, server_state=self.server_state, app_state=shared)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_draining()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # a client that does not read would keep it open for ever
        while self._bound:
            self._bound.pop().close()
        await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down cleanly on signals; uvicorn would raise them again after the shutdown."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True  # second signal: do not wait for requests in progress
        self.should_exit = True


def listen(settings: Settings) -> BoundPort:
    """Bind the server's port before anything else, so that its number is known. Raises UsageError if that fails."""
    ports = [settings.port] if settings.port is not None else [HOSTED_PORT]
    if settings.embedded and settings.port is None:
        ports = [embedded.sticky_port(settings.state, settings.host), 0]
    for port in ports:
        try:
            return bind(settings.host, port, BACKLOG, names=_own_names(settings, port))
        except (OSError, UnicodeError) as exc:  # UnicodeError: the host has an empty or too long label
            error = exc
    cause = getattr(error, "strerror", None) or error
    message = f"cannot listen on {settings.host} port {ports[0]}: {cause}"
    raise UsageError(message, "see --host and --port") from error


def listen_for_proxy(path: Path) -> LocalListener:
    """Listen on the Unix socket of a hosted server, for a proxy in the server's group.

    No other user can take its place while the server is down, as with a port of the loopback address. Raises UsageError
    if another server listens there, or if the folder belongs to another user or is writable for others.
    """
    with suppress(OSError):
        local_socket.connect(str(path), _PROBE_TIMEOUT_SECONDS).close()
        raise UsageError(f"cannot listen on {path}: another server listens there", "see --host")
    try:
        return LocalListener(local_socket.listen(path, BACKLOG, for_group=True), path)
    except OSError as exc:
        hint = "use a folder of the server's user to which no other user can write: see --host"
        raise UsageError(f"cannot listen on {path}: {exc.strerror or exc}", hint) from exc


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _own_names(settings: Settings, port: int) -> list[str]:
    """Return the host of `public_url` if it leads to this port: workers accept the server's proof for that name."""
    parts = urlsplit(settings.public_url)
    public_port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return [parts.hostname] if parts.hostname and public_port == port else []


class Deadline:
    """Exits the process if the shutdown takes too long: a thread in a system call cannot be interrupted."""

    def __init__(self, seconds: float = MAX_SHUTDOWN_SECONDS) -> None:
        self._timer = threading.Timer(seconds, self._exit)
        self._timer.daemon = True

    def start(self) -> None:
        """Start the timer. Idempotent."""
        if self._timer.ident is None:
            self._timer.start()

    def cancel(self) -> None:
        """Cancel the timer, unless other non-daemon threads are still running."""
        others = (thread for thread in threading.enumerate() if not thread.daemon)
        if all(thread is threading.main_thread() for thread in others):
            self._timer.cancel()

    def _exit(self) -> None:
        threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
        logger.error("the shutdown took too long", extra={"threads": ", ".join(threads)})
        os._exit(1)
