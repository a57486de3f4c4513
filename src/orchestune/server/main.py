"""`orchestune server`: one process from its lock to its last answer."""

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
from orchestune.client import endpoint, home
from orchestune.client.launch import owner
from orchestune.domain.words import plural
from orchestune.errors import StoreUnavailable, TemporaryError, UsageError
from orchestune.server import embedded, logs, permissions
from orchestune.server.addresses import Addresses
from orchestune.server.app import create_app
from orchestune.server.awaiting import wait_for_database
from orchestune.server.door import Door
from orchestune.server.draining import Draining
from orchestune.server.serving import BACKLOG, STOPPING, Deadline, Server, listen, reserve_ipv6
from orchestune.server.settings import Settings, load
from orchestune.services import audit, read_server
from orchestune.services.core import Core
from orchestune.system.local_socket import LocalListener
from orchestune.system.private import (
    TAKE_BACK,
    Replaceable,
    claim,
    refuse_foreign,
    refuse_replaceable,
    replaceable_by_others,
)

logger = logging.getLogger("orchestune.server")

PAGES_SECONDS = 3600.0
"""how long an embedded server waits for a page that was open to be looked at again"""
FILES = 65536
"""connections and files that it may have open, where the system lets it: many shells give 1024, of which each page and
each worker takes one"""
PRIVATE_UMASK = 0o077
"""of all that a server writes: only its user reads the files, also in a folder made by another program"""
_OF_SQLITE = ("", "-journal", "-shm", "-wal")
"""what SQLite appends to the name of a database for its files"""
SWITCHING = 0.001
"""seconds that a controller may go on computing while a request waits for the interpreter; Python's default is 0.005"""


class Running(Protocol):
    """The parts behind the routes, alive."""

    @property
    def core(self) -> Core:
        """What the services work with."""

    def start(self) -> None:
        """Let the controllers run; returns at once."""

    def stop(self, grace: float) -> None:
        """End what was started and close the store; what does not end within `grace` seconds is left behind."""

    def is_idle(self) -> bool:
        """Nothing is unfinished and no worker is there. Blocking, short."""


Build = Callable[[Settings, str, Path | None, Door], Running]
"""Puts the parts together (`orchestune.bootstrap.build`)."""


class Listeners(NamedTuple):
    """Where a server listens from its start on."""

    tcp: socket.socket
    local: LocalListener | None
    """of an embedded server"""
    addresses: Addresses


def main(argv: Sequence[str], build: Build) -> int:
    """Serve until SIGTERM, SIGINT, an owner's order, or (embedded) idleness; then 0. Errors of the start are raised."""
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
        _make(settings.state)
        _refuse_foreign(settings)  # again: another user may have made the folder meanwhile
        tightened = permissions.tighten(settings.state, database)
        settings = _with_owners(settings)
        logs.configure(settings.log_level, settings.log_format, settings.secrets)
        _warn(settings, tightened)
        listening = stack.enter_context(listen(settings))
        for reserved in reserve_ipv6(listening):
            stack.enter_context(reserved)
        if not _database_comes(settings, listening):
            logger.info("ended")
            return 0
        local = None
        if lock is not None:
            local = embedded.listen_locally(settings.state, BACKLOG, stack.callback)
            stack.callback(local.socket.close)
        port = listening.getsockname()[1]
        addresses = Addresses()
        addresses.add(settings.host, port)
        url, door = settings.address(port), Door(addresses)
        try:
            running = build(settings, url, settings.state / endpoint.FILE if lock else None, door)
        except OSError as exc:
            raise _unusable(settings.state, exc) from exc
        _serve(settings, url, Listeners(listening, local, addresses), running, lock, deadline, door)
    logger.info("ended")
    deadline.reached_the_end()
    return 0


def _load_privately(argv: Sequence[str], stack: contextlib.ExitStack) -> Settings:
    """Load the settings. What is written from now on is for this user alone, until the stack is closed; trials have the
    umask of before. UsageError if a folder could hold what another user has put there.
    """
    before = os.umask(PRIVATE_UMASK)
    stack.callback(os.umask, before)
    settings = replace(load(argv), umask=before)
    _refuse_foreign(settings)
    return settings


def _refuse_foreign(settings: Settings) -> None:
    """Raise UsageError if a file or folder could hold what another user has put there, or (embedded) another user can
    put something else in its place.
    """
    if settings.kubernetes is not None:  # a pod has no other users, and its volume may be anybody's
        return
    claim(settings.state, "the state folder", "see --state")
    refuse_foreign(settings.shared, "the folder that nodes share", "chmod go-w it, or see --shared")
    if database := _file(settings.database_url):
        for suffix in _OF_SQLITE:
            refuse_foreign(Path(f"{database}{suffix}"), "the database", TAKE_BACK)
    if "://" not in settings.files:
        refuse_foreign(Path(settings.files), "the folder for files", TAKE_BACK)
    if settings.embedded:
        for folder in (*_folders(settings), settings.shared):
            refuse_replaceable(folder, "the folder", "--state")


def _warn(settings: Settings, tightened: int) -> None:
    """Log what others can read: on this machine, or on the network."""
    for name in settings.exposed:
        logger.warning("a secret shows in the list of processes: give it in %s or the file of --config", name)
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


def _replaceable(settings: Settings) -> dict[Replaceable, Path]:
    """Return the folders of the server that others can replace, each with the folder by which they can."""
    if settings.kubernetes is not None:
        return {}
    folders = (settings.shared, *reversed(_folders(settings)))
    return {above: folder for folder in folders if (above := replaceable_by_others(folder))}


def open_more_files() -> None:
    """Raise the limit of this process, and of the workers that it starts, as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems have a limit beside that
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _file(database_url: str) -> Path | None:
    return Path(database_url.removeprefix("sqlite:///")) if database_url.startswith("sqlite:///") else None


def _database_comes(settings: Settings, listening: socket.socket) -> bool:
    """Wait until PostgreSQL takes connections; return False if the server was told to end meanwhile.

    The server of one user fails at once instead: a user waits for the command that starts it.
    """
    if settings.embedded or _file(settings.database_url):
        return True
    return wait_for_database(settings.database_url, None if settings.tls_cert else listening)


def _folders(settings: Settings) -> list[Path]:
    """Return the folders of this machine in which the server writes."""
    database = _file(settings.database_url)
    files = [] if "://" in settings.files else [Path(settings.files)]
    return [settings.state, *([database.parent] if database else []), *files]


def _make(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(state, exc) from exc
    home.mark(state)


def _unusable(state: Path, exc: OSError) -> UsageError:
    where = f" ({exc.filename})" if exc.filename and str(exc.filename) != str(state) else ""
    return UsageError(f"the state folder {state} cannot be used: {exc.strerror or exc}{where}", "see --state")


def _with_owners(settings: Settings) -> Settings:
    """Without a token file, whoever starts the server owns it: the token in the state folder, made when missing."""
    if settings.owners:
        return settings
    return replace(settings, owners={embedded.token(settings.state): owner(os.environ)})


def _serve(
    settings: Settings,
    url: str,
    listeners: Listeners,
    running: Running,
    lock: embedded.Lock | None,
    deadline: Deadline,
    door: Door,
) -> None:
    draining = Draining()
    waiting: list[asyncio.Task[None]] = []

    def started() -> None:
        door.attach(server.listen_too)
        running.start()
        gc.collect()
        gc.freeze()  # what is there now stays: no later collection, which holds everybody up, has to look at it
        sys.setswitchinterval(SWITCHING)
        if lock is not None:
            lock.publish(url, next(iter(settings.owners)), socket=str(local.path) if local else "")
            audience = app.state.context.audience
            idle = embedded.end_when_idle(
                lambda: not server.answering and audience.gone(PAGES_SECONDS) and _is_idle(running),
                settings.idle_seconds,
                server.end,
            )
            waiting.extend(asyncio.ensure_future(task) for task in (idle, embedded.keep_published(lock)))
        logger.info("serving", extra={"url": url, "home": settings.home, "version": __version__, "pid": os.getpid()})
        if lock is None:
            threading.Thread(target=_try, args=(running.core,), name="trying", daemon=True).start()
            threading.Thread(target=_note_owners, args=(running.core,), name="owners", daemon=True).start()

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
    )
    local = listeners.local
    server = Server(settings, app, on_started=started, on_draining=drain, local=local.socket if local else None)
    server.run(sockets=[listeners.tcp])
    running.stop(STOPPING)


def _try(core: Core) -> None:
    """Tell the operator at once what users would meet first: a bucket that is not there, a key that has expired."""
    try:
        read_server.check(core)
    except StoreUnavailable as error:
        logger.warning("what is sent to this server cannot be kept: %s (%s)", error.message, error.hint)


def _note_owners(core: Core) -> None:
    """Write into the audit log if the token file makes others owners than before."""
    with contextlib.suppress(StoreUnavailable):
        event = audit.owners_event(core)
        if event is not None:
            audit.log(event)
            audit.record(core, [event])


def _is_idle(running: Running) -> bool:
    try:
        return running.is_idle()
    except TemporaryError:
        return False
