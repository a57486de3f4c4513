"""Discovery and start of the embedded server of this user and state folder."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune import __version__
from orchestune.client.connection.versions import release
from orchestune.client.local import endpoint, home, write_errors
from orchestune.client.local.endpoint import EmbeddedEndpoint, SocketAddress
from orchestune.errors import OrchestuneError, Unreachable, UsageError
from orchestune.system import local_socket

if TYPE_CHECKING:
    from orchestune.client.local.spawn import SpawnedServer  # for callers that start a server

_HINT = "run `orchestune doctor` to find the cause"
_POLL_SECONDS = 0.03
_ANSWER_TIMEOUT_SECONDS = 5.0
"""seconds within which a healthy server answers, however busy the machine is"""
_HANG_SECONDS = 15.0
"""seconds without any response after which a server is killed and replaced"""


def connect(
    timeout: float = 60.0,
    *,
    note: Callable[[str], None] = lambda text: None,
    environ: Mapping[str, str] = os.environ,
    program: Sequence[str] = (),
    version: str = __version__,
    hang: float = _HANG_SECONDS,
    restart: bool = False,
) -> SocketAddress:
    """Return address and token of the embedded server of `environ`, even if that selects another server.

    Starts the server if none runs (of concurrent commands exactly one does), and replaces one that is older than this
    client, does not respond for `hang` seconds, or every one if `restart` is set. Waits up to `timeout` seconds. `note`
    receives messages for the user. `program` overrides the command that starts the server.

    Raises Unreachable if no server starts, UsageError if the state folder or the environment is invalid.
    """
    state = home.state_folder(environ)
    search = _Search(state, environ, program, version, hang, note)
    if restart:
        search.unwanted = EmbeddedEndpoint.read(state / endpoint.FILE)
    server = search.running() or search.start(timeout)
    return server.address


def start_in_background(environ: Mapping[str, str]) -> None:
    """Begin to start the server of `environ` if none runs, while the caller prepares what it will send.

    A failure has no effect: `connect` waits for that server, or tries again and reports why it does not start.
    """
    if endpoint.runs(home.state_path(environ)):
        return

    def start() -> None:
        with suppress(OrchestuneError):
            connect(environ=environ)

    threading.Thread(target=start, name="server-start", daemon=True).start()


def end(state: Path, timeout: float = 60.0) -> int | None:
    """Shut down the server of a state folder cleanly and return its pid, None if none runs. Its trials keep running.

    Raises Unreachable if it is still running after `timeout` seconds.
    """
    server = EmbeddedEndpoint.read(state / endpoint.FILE)
    if server is None or not server.process.alive():
        return None
    if not _request_shutdown(server):
        server.process.send(signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while server.process.alive():
        if time.monotonic() > deadline:
            raise Unreachable(f"the server (pid {server.process.pid}) did not shut down within {timeout:g} s", _HINT)
        time.sleep(_POLL_SECONDS)
    return server.process.pid


class _Search:
    """State of one call of `connect`."""

    def __init__(
        self,
        state: Path,
        environ: Mapping[str, str],
        program: Sequence[str],
        version: str,
        hang: float,
        note: Callable[[str], None],
    ) -> None:
        self.state = state
        self.environ = environ
        self.program = program
        self.version = version
        self.hang = hang
        self.note = note
        self.silent: tuple[EmbeddedEndpoint, float] | None = None
        self.unwanted: EmbeddedEndpoint | None = None
        self.replaced: EmbeddedEndpoint | None = None
        self.child: SpawnedServer | None = None

    def running(self) -> EmbeddedEndpoint | None:
        """Return the server if it runs, responds, and is not older than this client."""
        server = EmbeddedEndpoint.read(self.state / endpoint.FILE)
        if server is None or not server.process.alive():
            self.silent = None
            return None
        if _request(server, "GET", "/healthz", min(_ANSWER_TIMEOUT_SECONDS, self.hang)) is None:
            if self.silent is None or self.silent[0] != server:
                self.silent = (server, time.monotonic())
                self.note(f"waiting for the server (pid {server.process.pid}), which does not answer")
            return None
        self.silent = None
        server_release, own_release = release(server.version), release(self.version)
        if server == self.unwanted or server_release < own_release:
            return None
        if server_release > own_release:
            self.note(f"the running server is newer ({server.version}) than this program ({self.version})")
        return server

    def start(self, timeout: float) -> EmbeddedEndpoint:
        """Wait for the server, and start it while holding the start lock."""
        deadline = time.monotonic() + timeout
        lock = _open(self.state / endpoint.START_LOCK)
        try:
            while True:
                server = self.running()
                if server is not None:
                    return server
                if _locked(lock):
                    self._advance()
                if time.monotonic() > deadline:
                    raise self._timeout_error(timeout)
                time.sleep(_POLL_SECONDS)
        finally:
            os.close(lock)
            if self.child is not None:
                self.child.detach()

    def _advance(self) -> None:
        """Take one step towards a running server; the caller holds the start lock."""
        server = EmbeddedEndpoint.read(self.state / endpoint.FILE)
        if server is not None and server.process.alive():
            self._stop_if_unusable(server)
        elif self.child is not None:
            self._raise_if_exited(self.child)
        elif self._server_lock_is_free():
            from orchestune.client.local.spawn import (  # only starting a server needs subprocess
                SpawnedServer,
                server_program,
            )

            program = self.program or server_program(self.state)
            self.child = SpawnedServer(program, self.state / endpoint.LOG, self.environ)

    def _stop_if_unusable(self, server: EmbeddedEndpoint) -> None:
        if self.silent is not None and self.silent[0] == server:
            if time.monotonic() - self.silent[1] > self.hang:
                self.note(f"the server (pid {server.process.pid}) does not answer; restarting it")
                self.silent = (server, time.monotonic())
                server.process.send(signal.SIGKILL)  # safe: a server recovers from every crash, with some latency
        elif (server == self.unwanted or release(server.version) < release(self.version)) and self.replaced != server:
            self.replaced = server
            if server != self.unwanted:
                self.note(f"replacing the server of version {server.version} by {self.version}")
            if not _request_shutdown(server):
                server.process.send(signal.SIGTERM)

    def _raise_if_exited(self, child: SpawnedServer) -> None:
        code = child.exit_code()
        if code is not None and self._server_lock_is_free():
            if problem := write_errors.write_problem(self.state):
                raise Unreachable(f"the server cannot run: {problem[0]}", problem[1])
            raise Unreachable(f"the server exited at once (exit code {code}){child.log_tail()}", _HINT)

    def _server_lock_is_free(self) -> bool:
        lock = _open(self.state / endpoint.LOCK)
        try:
            return _locked(lock)
        finally:
            os.close(lock)

    def _timeout_error(self, timeout: float) -> Unreachable:
        log_tail = self.child.log_tail() if self.child else ""
        server = EmbeddedEndpoint.read(self.state / endpoint.FILE)
        if self.child is None and server is not None and not server.process.alive():
            return Unreachable(
                f"another server, probably on another host, uses {self.state}",
                "shut it down there, or set ORCHESTUNE_HOME to a folder on a disk of this machine",
            )
        return Unreachable(f"the server did not start within {timeout:g} s{log_tail}", _HINT)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise UsageError(*write_errors.explain_write_error(exc, path.parent)) from exc


def _locked(descriptor: int) -> bool:
    """Acquire or keep the lock; False if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        hint = "set ORCHESTUNE_HOME to a folder on a disk of this machine"
        raise UsageError(f"cannot lock files in the state folder: {exc.strerror}", hint) from exc
    return True


def _request_shutdown(server: EmbeddedEndpoint) -> bool:
    return _request(server, "POST", "/api/v1/shutdown", _ANSWER_TIMEOUT_SECONDS) in (200, 202, 204)


def _request(server: EmbeddedEndpoint, method: str, path: str, timeout: float) -> int | None:
    """Return the HTTP status, None if there is no response in time."""
    from http.client import HTTPConnection, HTTPException  # imported on demand, only if a server exists
    from urllib.parse import urlsplit

    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        if server.socket:
            connection.sock = local_socket.connect(server.socket, timeout)
        connection.request(method, parts.path + path, headers={"Authorization": f"Bearer {server.token}"})
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
