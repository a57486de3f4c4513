"""Startup of a server whose database is not available yet: wait for it, and answer probes meanwhile."""

from __future__ import annotations

import json
import logging
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

from orchestune.errors import OrchestuneError, StoreUnavailable
from orchestune.store.reach_database import attempt
from orchestune.system.isolation import failure_of

logger = logging.getLogger("orchestune.server")

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 5.0  # between two attempts, doubling
LOG_INTERVAL_SECONDS = 60.0  # between log entries with the reason
QUIET_SECONDS = 1.0  # before requests are answered: during a normal startup they wait for the real server
_MAX_CONNECTIONS = 32  # answered at once while waiting
_CLIENT_TIMEOUT_SECONDS = 2.0
Attempt = Callable[[str], None]


def wait_for_database(url: str, listening: Sequence[socket.socket] = (), reach: Attempt = attempt) -> bool:
    """Block until the database at `url` accepts connections; return False if SIGTERM or SIGINT ended the wait.

    Meanwhile requests for `/healthz` on `listening` succeed, and all others get status 503. Pass none if the port
    speaks TLS: then no request is answered. Raises the error of `reach` if waiting cannot help.
    """
    waiting = _DatabaseWait(url, reach)
    with _signals(waiting.end), _answering(listening):
        waiting.until_reached()
    return not waiting.ended


class _DatabaseWait:
    """Connection attempts in threads: a hanging connection cannot be interrupted, but a signal must end the wait."""

    def __init__(self, url: str, reach: Attempt) -> None:
        self._url, self._reach = url, reach
        self._wake = threading.Event()
        self.ended = False

    def end(self) -> None:
        """End the wait at once. Called by the signal handler."""
        self.ended = True
        self._wake.set()

    def until_reached(self) -> None:
        """Retry until an attempt succeeds or the wait is ended. Raises an error that is not temporary."""
        started, pause, logged = time.monotonic(), FIRST_RETRY_SECONDS, -math.inf
        while not self.ended and (error := self._failure()) is not None:
            if not isinstance(error, StoreUnavailable):
                raise error
            if time.monotonic() - logged >= LOG_INTERVAL_SECONDS:
                logger.warning("waiting for the database: %s", error.message)
                logged = time.monotonic()
            self._wake.wait(pause)
            pause = min(2 * pause, MAX_RETRY_SECONDS)
        if not self.ended and logged > -math.inf:
            logger.info("the database is available", extra={"seconds": round(time.monotonic() - started, 1)})

    def _failure(self) -> Exception | None:
        """Make one attempt and return its error; None if it succeeded or the wait was ended meanwhile."""
        errors: list[Exception | None] = []

        def run() -> None:
            errors.append(failure_of(lambda: self._reach(self._url)))
            self._wake.set()

        threading.Thread(target=run, name="reaching the database", daemon=True).start()
        self._wake.wait()
        if not self.ended:
            self._wake.clear()
        return errors[0] if errors else None


@contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    """Install `end` as the handler of SIGTERM and SIGINT, which PID 1 of a container would ignore otherwise."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        end()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _answering(listening: Sequence[socket.socket]) -> Iterator[None]:
    """Answer requests on `listening` if the wait takes longer than a startup with a healthy database."""
    is_over = threading.Event()

    def answer(listening: socket.socket) -> None:
        if not is_over.wait(QUIET_SECONDS):
            server = _ProbeServer(listening)
            while not is_over.is_set():
                server.handle_request()

    threads = [threading.Thread(target=answer, args=(sock,), name="answering", daemon=True) for sock in listening]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()  # the sockets stay open: the real server uses them next


class _ProbeServer(ThreadingHTTPServer):
    """HTTP server on a socket owned by the caller, with a limit of concurrent clients."""

    daemon_threads = True
    timeout = 0.1  # seconds between two checks if the wait is over

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        listening.setblocking(False)  # a client may disconnect before `accept`, which would then block
        self._room = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_TIMEOUT_SECONDS
    server_version, sys_version = "orchestune", ""

    def _answer(self) -> None:
        if self.path.partition("?")[0] == "/healthz":
            self._send(200, {"status": "ok"})
            return
        error: OrchestuneError = StoreUnavailable("the server is waiting for its database", "retry in a moment")
        self._send(503, error.to_json())

    def _send(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Do not log requests."""
