"""Embedded servers: one per state folder, discoverable by commands, with an idle timeout."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread

from orchestune import __version__
from orchestune.client.local import endpoint
from orchestune.client.local.endpoint import EmbeddedEndpoint
from orchestune.client.local.filesystem import LOCAL_DISK, NETWORK, filesystem
from orchestune.errors import Conflict, StoreUnavailable, UsageError
from orchestune.system import listening, local_socket
from orchestune.system.local_socket import LocalListener
from orchestune.system.private import create_private, write_private
from orchestune.system.process import Process

logger = logging.getLogger("orchestune.server")

REPUBLISH_SECONDS = 1.0
"""interval in seconds between checks of the endpoint file"""
SOCKET = Path("run") / "server.sock"
"""path in the state folder of the Unix socket, which only the server's user can open"""
_PORT = "port"
_TOKEN = "token"
_HOST = "127.0.0.1"
_LOWEST_PORT = 20000
_LOCK_TIMEOUT_SECONDS = 2.0
"""timeout in seconds for the lock: a command that checks if a server is running holds it briefly"""


class Lock:
    """The exclusive lock of a state folder, held by its server until the process exits; see `acquire`."""

    def __init__(self, state: Path, descriptor: int) -> None:
        self.state = state
        self._descriptor = descriptor
        self._process = Process.of(os.getpid())
        self._published: EmbeddedEndpoint | None = None
        self._verified_mark: tuple[int, int] | None = None
        """inode and change time of the endpoint file when its content was last verified"""

    def publish(self, url: str, token: str, version: str = __version__, socket: str = "") -> None:
        """Write the endpoint file for commands and workers. Call it once requests are answered and on a new address."""
        assert self._process is not None
        self._published = EmbeddedEndpoint(url, token, self._process, version, socket)
        self._published.write(self.state / endpoint.FILE)
        port = url.rpartition(":")[2].partition("/")[0]
        if port.isdecimal():
            write_private(self.state / _PORT, port)

    def republish(self) -> bool:
        """Publish again if the endpoint file was deleted or changed; return True if so. Raises OSError if that fails.

        Does nothing if the folder was removed or another server holds its lock. Cheap if nothing changed.
        """
        if self._published is None:
            return False
        path = self.state / endpoint.FILE
        mark = _mark(path)
        if mark is not None and mark == self._verified_mark:
            return False
        if EmbeddedEndpoint.read(path) == self._published:
            self._verified_mark = mark
            return False
        if not self._is_current_lock():
            return False
        self._published.write(path)
        return True

    def _is_current_lock(self) -> bool:
        """Return True if the held lock file is still the one at the path where other processes look."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.state / endpoint.LOCK))
        except OSError:
            return False

    def withdraw(self) -> None:
        """Delete the endpoint file: the first step of a clean shutdown. Idempotent."""
        self._published = None
        published = EmbeddedEndpoint.read(self.state / endpoint.FILE)
        if published is not None and published.process == self._process:
            with contextlib.suppress(OSError):
                os.unlink(self.state / endpoint.FILE)

    def release(self) -> None:
        """Withdraw and release the lock: the last step of a shutdown. The exit of the process releases it too."""
        self.withdraw()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def acquire(state: Path, timeout: float = _LOCK_TIMEOUT_SECONDS) -> Lock:
    """Acquire the lock of the folder `state`, created if absent.

    Raises Conflict if another server holds it, UsageError if the folder cannot be used.
    """
    descriptor = _lock_file(state / endpoint.LOCK, timeout)
    if descriptor is None:
        running = EmbeddedEndpoint.read(state / endpoint.FILE)
        details = f" (pid {running.process.pid}, {running.url})" if running else ""
        raise Conflict(f"a server{details} is already running for {state}", "use it, or stop it first")
    return Lock(state, descriptor)


def listen_locally(state: Path, backlog: int, clean_up: Callable[[Callable[[], None]], object]) -> LocalListener:
    """Listen on the Unix socket of the state folder, which the caller has locked.

    If the file system of the state folder supports no sockets or permissions, the socket is in a private temporary
    folder, whose removal is passed to `clean_up`.

    Raises UsageError if the folder of the socket belongs to another user.
    """
    path = state / SOCKET
    try:
        return LocalListener(local_socket.listen(path, backlog), path)
    except local_socket.SharedFolder as exc:
        raise UsageError(f"cannot listen at {path}: {exc}", f"remove {path.parent}") from exc
    except OSError as exc:
        error = exc
    listener = local_socket.listen_elsewhere(path.name, backlog, clean_up)
    logger.warning("cannot listen at %s (%s); listening in %s instead", path, error, listener.path.parent)
    return listener


def hold_database(path: Path) -> Callable[[], None]:
    """Acquire the lock of an SQLite database for this server, embedded or not, and return a function that releases it.

    Two servers on one database would both start workers and send messages. Raises Conflict if another server holds the
    lock, UsageError if the folder (created if absent) cannot be used.
    """
    path = Path(os.path.realpath(path))  # unlike `Path.resolve`, accepts symlink loops
    descriptor = _lock_file(path.with_name(f"{path.name}.lock"), _LOCK_TIMEOUT_SECONDS)
    if descriptor is None:
        hint = "set ORCHESTUNE_SERVER to its address, stop it, or use another state folder; replicas need PostgreSQL"
        raise Conflict(f"another server uses the database {path}", hint)
    return lambda: os.close(descriptor)


def _lock_file(lock: Path, timeout: float) -> int | None:
    """Lock a file and return its descriptor; None if another process holds the lock for `timeout` seconds."""
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise UsageError(f"cannot use the folder {lock.parent}: {exc.strerror}", LOCAL_DISK) from exc
    deadline = time.monotonic() + timeout
    while not _try_lock(descriptor, lock.parent):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.02)
    return descriptor


def _try_lock(descriptor: int, state: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        os.close(descriptor)
        raise UsageError(f"cannot lock files in {state}: {exc.strerror}", LOCAL_DISK) from exc
    return True


def sticky_port(state: Path, host: str = _HOST) -> int:
    """Return the port of the last run if it is free, so that addresses used by running trials stay valid.

    Otherwise return a free port below the ephemeral range: a worker that keeps retrying to connect while the server is
    down could otherwise get the server's own port as its source port. Return 0 (any) if none of the candidates is free.
    """
    with contextlib.suppress(OSError, ValueError):
        port = int((state / _PORT).read_text())
        if _is_free(host, port):
            return port
    for port in random.sample(range(_LOWEST_PORT, _first_outgoing_port()), 20):
        if _is_free(host, port):
            return port
    return 0


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32768
    return first if first >= _LOWEST_PORT + 1000 else 32768


def _is_free(host: str, port: int) -> bool:
    try:
        listening.bind(host, port, 1).close()
    except (OSError, OverflowError, UnicodeError):
        return False
    return True


def token(state: Path) -> str:
    """Return the owner's token, created at the first call and stable over restarts.

    Raises StoreUnavailable if the token file cannot be read or written.
    """
    path = state / _TOKEN
    try:
        create_private(path, secrets.token_urlsafe(32))
        text = path.read_text().strip()
        if len(text) < 32:  # truncated by a full disk or a crash
            text = secrets.token_urlsafe(32)
            write_private(path, text)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as exc:
        raise StoreUnavailable(f"cannot use the token file {path}: {exc.strerror}") from exc
    return text


async def shut_down_when_idle(is_idle: Callable[[], bool], seconds: float, shutdown: Callable[[], None]) -> None:
    """Call `shutdown` and return once `is_idle` was true at every check for `seconds`. May be cancelled at any time.

    The checks run in threads: they query the store, and requests are answered meanwhile.
    """
    clock = asyncio.get_running_loop().time
    idle_since = clock()
    while True:
        if not await to_thread.run_sync(is_idle):
            idle_since = clock()
        elif clock() - idle_since >= seconds:
            shutdown()
            return
        await asyncio.sleep(max(0.01, min(1.0, seconds / 10)))


async def keep_published(lock: Lock, interval: float = REPUBLISH_SECONDS) -> None:
    """Restore the endpoint file whenever it is deleted or changed. May be cancelled at any time."""
    is_logged = False
    while True:
        await asyncio.sleep(interval)
        try:
            if lock.republish():
                logger.warning("restored %s, which was deleted or named another server", endpoint.FILE)
            is_logged = False
        except OSError as error:
            if not is_logged:
                logger.warning("cannot write %s: %s", endpoint.FILE, error.strerror)
            is_logged = True


def refuse_network_filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raise UsageError if `path` is on a network file system: SQLite's write-ahead log needs shared memory."""
    kind = filesystem(path, mounts)
    if kind in NETWORK:
        raise UsageError(
            f"cannot use {path}: a network file system ({kind}) would damage the embedded server's database",
            f"{LOCAL_DISK}, such as ORCHESTUNE_HOME=/var/tmp/orchestune-$USER",
        )
