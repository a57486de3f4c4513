"""`orchestune server`: the life of a server process, from acquiring its lock to the shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from orchestune import __version__
from orchestune.client.local import endpoint, home
from orchestune.client.local.launch_context import owner
from orchestune.domain.words import plural
from orchestune.errors import StoreUnavailable, TemporaryError, UsageError
from orchestune.server import embedded, file_permissions, logs
from orchestune.server.addresses import Addresses
from orchestune.server.app import create_app
from orchestune.server.await_database import wait_for_database
from orchestune.server.draining import DrainSignal
from orchestune.server.extra_listener import ExtraListener
from orchestune.server.serving import (
    BACKLOG,
    CONTROLLERS_TIMEOUT_SECONDS,
    Deadline,
    UvicornServer,
    listen,
    listen_for_proxy,
)
from orchestune.server.settings import Settings, load
from orchestune.server.token_file import note_owners
from orchestune.services.core import Core
from orchestune.services.queries import read_server
from orchestune.system.listening import BoundPort
from orchestune.system.local_socket import LocalListener
from orchestune.system.private import (
    TAKE_BACK,
    ReplaceablePath,
    refuse_foreign,
    refuse_replaceable,
    replaceable_by_others,
    require_own_folder,
)

logger = logging.getLogger("orchestune.server")

PAGES_IDLE_SECONDS = 3600.0
"""idle time after the last page was closed before an embedded server may shut down: browsers suspend pages in the
background, which reconnect later"""
MAX_OPEN_FILES = 65536
"""limit of open file descriptors that the server requests: many shells set 1024, and each page and each worker takes
one"""
PRIVATE_UMASK = 0o077
"""umask for everything that a server writes: only its user can read the files, also in a folder that another program
created"""
_SQLITE_SUFFIXES = ("", "-journal", "-shm", "-wal")
"""suffixes of the files of one SQLite database"""
SWITCH_INTERVAL_SECONDS = 0.001
"""a controller that computes delays a request by that much; Python's default is 0.005"""


class RunningServer(Protocol):
    """The controllers and the store behind the routes, while the server runs."""

    @property
    def core(self) -> Core:
        """The dependencies of the services."""

    def start(self) -> None:
        """Start the controllers. Does not block."""

    def stop(self, grace: float) -> None:
        """Stop the controllers and close the store. Threads still running after `grace` seconds are abandoned."""

    def is_idle(self) -> bool:
        """Return True if no experiment is unfinished and no worker is registered. Blocks briefly."""


Build = Callable[[Settings, str, Path | None, ExtraListener], RunningServer]
"""The factory of the parts behind the routes (`orchestune.bootstrap.build`)."""


class Listeners(NamedTuple):
    """The sockets at which a server listens from its start."""

    tcp: BoundPort | None
    """None if `host` is a Unix socket"""
    local: LocalListener | None
    """Unix socket of an embedded server, or of a hosted one if `host` is a socket"""
    addresses: Addresses


def main(argv: Sequence[str], build: Build) -> int:
    """Serve until SIGTERM, SIGINT, a shutdown request of an owner, or (embedded) the idle timeout; return 0.

    Raises the errors of the startup.
    """
    deadline = Deadline()
    with contextlib.ExitStack() as stack:
        settings = _load_privately(argv, stack)
        open_more_files()
        lock = None
        database = _file(settings.database_url)
        if database:
            home.check_length(database.parent, "the folder of the database", "choose a shorter path: see --state")
            embedded.refuse_network_filesystem(database)
        if settings.embedded:
            lock = embedded.acquire(settings.state)
            stack.callback(lock.release)
        if database:
            stack.callback(embedded.hold_database(database))
        _create_state_folder(settings.state)
        _refuse_foreign(settings)  # check again: another user may have created the folder meanwhile
        tightened = file_permissions.tighten(settings.state, database)
        settings = _with_owners(settings)
        logs.configure(settings.log_level, settings.log_format, settings.secrets)
        _warn(settings, tightened)
        tcp, local = None, None
        if settings.socket is None:
            tcp = stack.enter_context(listen(settings))
        else:
            local = listen_for_proxy(settings.socket)
            stack.callback(local.socket.close)
        if not _await_database(settings, tcp.sockets if tcp else [local.socket] if local else []):
            logger.info("ended")
            return 0
        if lock is not None:
            local = embedded.listen_locally(settings.state, BACKLOG, stack.callback)
            stack.callback(local.socket.close)
        addresses = Addresses()
        if tcp is not None:
            addresses.add(settings.host, tcp.number)
        url, listener = settings.address(tcp.number if tcp else 0), ExtraListener(addresses)
        try:
            running = build(settings, url, settings.state / endpoint.FILE if lock else None, listener)
        except OSError as exc:
            raise _unusable(settings.state, exc) from exc
        _serve(settings, url, Listeners(tcp, local, addresses), running, lock, deadline, listener)
    logger.info("ended")
    deadline.cancel()
    return 0


def _load_privately(argv: Sequence[str], stack: contextlib.ExitStack) -> Settings:
    """Load the settings and set a private umask until `stack` is closed; trials get the previous umask.

    Raises UsageError if a folder could contain files of another user.
    """
    previous_umask = os.umask(PRIVATE_UMASK)
    stack.callback(os.umask, previous_umask)
    settings = replace(load(argv), umask=previous_umask)
    _refuse_foreign(settings)
    return settings


def _refuse_foreign(settings: Settings) -> None:
    """Raise UsageError if another user could have written a file or folder, or (embedded) could replace it."""
    if settings.kubernetes is not None:  # a pod has no other users, and its volume may have any owner
        return
    require_own_folder(settings.state, "the state folder", "see --state")
    refuse_foreign(settings.shared, "the folder that nodes share", "chmod go-w it, or see --shared")
    if database := _file(settings.database_url):
        for path in dict.fromkeys((database, database.resolve())):  # SQLite resolves links: its files are at the target
            # A user who can create files there can plant a write-ahead log, even if the folder is sticky, as /tmp is.
            refuse_foreign(path.parent, "the folder of the database", "chmod go-w it, or see --database-url")
            for suffix in _SQLITE_SUFFIXES:
                refuse_foreign(Path(f"{path}{suffix}"), "the database", TAKE_BACK)
    if "://" not in settings.files:
        refuse_foreign(Path(settings.files), "the folder for files", TAKE_BACK)
    if settings.embedded:
        for folder in (*_folders(settings), settings.shared):
            refuse_replaceable(folder, "the folder", "--state")


def _warn(settings: Settings, tightened: int) -> None:
    """Log warnings about secrets and files exposed to other users of this machine, or on the network."""
    for name in settings.exposed:
        logger.warning("a secret is visible in the process list: set it by %s or in the file of --config", name)
    for path in settings.readable_by_all:
        logger.warning("every user of this machine can read %s; chmod 600 it", path)
    for path, reason in settings.changeable_by_others.items():
        logger.warning("others can change %s: %s; chown it to this user and chmod 600 it", path, reason)
    if tightened:
        text = "tightened %s below %s: other users of this machine could read them"
        logger.warning(text, plural(tightened, "file"), settings.state)
    for above, folder in _replaceable(settings).items():
        text = "others can replace %s and run programs as this user, by %s: %s; chown that folder, or chmod go-w it"
        logger.warning(text, folder, above.folder, above.reason)
    if settings.unencrypted:
        logger.warning(
            "tokens travel unencrypted: listening on %s without TLS; set tls_cert and tls_key, or put a proxy with"
            " TLS in front and set public_url to its https address",
            settings.host,
        )


def _replaceable(settings: Settings) -> dict[ReplaceablePath, Path]:
    """Return the server's folders that other users can replace, keyed by the parent folder that allows it."""
    if settings.kubernetes is not None:
        return {}
    sockets = [settings.socket.parent] if settings.socket else []
    folders = (settings.shared, *sockets, *reversed(_folders(settings)))
    return {above: folder for folder in folders if (above := replaceable_by_others(folder))}


def open_more_files() -> None:
    """Raise the file descriptor limit of this process, and of the workers that it starts, up to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        with contextlib.suppress(ValueError, OSError):  # some systems have another, lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def _file(database_url: str) -> Path | None:
    return Path(database_url.removeprefix("sqlite:///")) if database_url.startswith("sqlite:///") else None


def _await_database(settings: Settings, listening: Sequence[socket.socket]) -> bool:
    """Wait until PostgreSQL accepts connections; return False if a signal asked the server to shut down meanwhile.

    An embedded server fails at once instead: a user waits for the command that starts it.
    """
    if settings.embedded or _file(settings.database_url):
        return True
    return wait_for_database(settings.database_url, () if settings.tls_cert else listening)


def _folders(settings: Settings) -> list[Path]:
    """Return the local folders that the server writes to."""
    database = _file(settings.database_url)
    files = [] if "://" in settings.files else [Path(settings.files)]
    return [settings.state, *([database.parent] if database else []), *files]


def _create_state_folder(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(state, exc) from exc
    home.mark(state)


def _unusable(state: Path, exc: OSError) -> UsageError:
    path = f" ({exc.filename})" if exc.filename and str(exc.filename) != str(state) else ""
    return UsageError(f"cannot use the state folder {state}: {exc.strerror or exc}{path}", "see --state")


def _with_owners(settings: Settings) -> Settings:
    """Without a token file, make the user who starts the server its owner.

    The token is the one in the state folder, created if absent.
    """
    if settings.owners:
        return settings
    return replace(settings, owners={embedded.token(settings.state): owner(os.environ)})


def _serve(
    settings: Settings,
    url: str,
    listeners: Listeners,
    running: RunningServer,
    lock: embedded.Lock | None,
    deadline: Deadline,
    listener: ExtraListener,
) -> None:
    draining = DrainSignal()
    waiting: list[asyncio.Task[None]] = []

    def started() -> None:
        listener.attach(server.listen_also)
        running.start()
        gc.collect()
        gc.freeze()  # exempt long-lived startup objects from later collections, which pause all requests
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        if lock is not None:
            lock.publish(url, next(iter(settings.owners)), socket=str(local.path) if local else "")
            open_pages = app.state.context.open_pages
            idle = embedded.shut_down_when_idle(
                lambda: not server.has_requests and open_pages.none_for(PAGES_IDLE_SECONDS) and _is_idle(running),
                settings.idle_seconds,
                server.end,
            )
            waiting.extend(asyncio.ensure_future(task) for task in (idle, embedded.keep_published(lock)))
        logger.info("serving", extra={"url": url, "home": settings.home, "version": __version__, "pid": os.getpid()})
        if lock is None:
            threading.Thread(target=_check_files, args=(running.core,), name="files", daemon=True).start()
            threading.Thread(target=note_owners, args=(running.core,), name="owners", daemon=True).start()

    def drain() -> None:
        deadline.start()
        logger.info("draining")
        if lock is not None:
            lock.withdraw()
        for task in waiting:
            task.cancel()
        draining.begin()

    app = create_app(
        running.core,
        on_shutdown=lambda: server.end(),
        home=settings.home,
        draining=draining,
        addresses=listeners.addresses,
        proxies=settings.trusted_proxies,
        folders=_folders(settings),
        deferred=settings.embedded,
    )
    local = listeners.local
    server = UvicornServer(settings, app, on_started=started, on_draining=drain, local=local.socket if local else None)
    server.run(sockets=listeners.tcp.sockets if listeners.tcp else [])
    running.stop(CONTROLLERS_TIMEOUT_SECONDS)


def _check_files(core: Core) -> None:
    """Check the file store and log its problems at startup: a bucket that does not exist, a key that has expired."""
    try:
        read_server.check(core)
    except StoreUnavailable as error:
        logger.warning("cannot store files: %s (%s)", error.message, error.hint)


def _is_idle(running: RunningServer) -> bool:
    try:
        return running.is_idle()
    except TemporaryError:
        return False
