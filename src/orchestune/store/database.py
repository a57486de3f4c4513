"""Opening the store, transactions, and the one seam where errors of the drivers become ours."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestune.errors import BadInput, StoreDamaged, StoreUnavailable, UsageError
from orchestune.store import postgres, sqlite
from orchestune.store.session import Session
from orchestune.store.turns import Turns

SQLITE = "sqlite:///"
"""before the path of a file, as it is: no character of it means anything else"""
PRIMARY = "name the primary, or all of them: …/NAME?host=A:5432&host=B:5432&target_session_attrs=read-write"
DAMAGED = (
    "end the server, then put a copy in the place of orchestune.db and remove its -wal and -shm, or save what can be"
    " read with `sqlite3 orchestune.db .recover`; look at the disk, too"
)


_TOO_LARGE = ("22001", "22003")  # SQLSTATE: text too long for its column, number out of range
_FULL_SECONDS = 15.0
"""how long a disk that took no more counts as full: workers and controllers try again in a third of that"""


class Full(StoreUnavailable):
    """The disk of the store takes no more."""


class _Patience(threading.local):
    """How long the calls of one thread wait for who writes; None: as long as connections are opened to wait."""

    seconds: float | None = None

    @property
    def limit(self) -> float:
        """In seconds."""
        return sqlite.BUSY_SECONDS if self.seconds is None else self.seconds


class Store:
    """SQLite or PostgreSQL behind one interface; the contract tests run the same class against both.

    `transaction` commits as a whole or not at all. On SQLite one writer at a time enters (a lock in the process,
    which is fair, before the database's own, which polls); on PostgreSQL the row lock of the experiment does that.
    `StoreUnavailable` means that nothing was changed and that the same call may work later.
    """

    def __init__(self, engine: Engine, now: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.inline = engine.dialect.name == "sqlite"
        self._reading: dict[str, Any] = {"orchestune_reading": True} if self.inline else postgres.READING
        self._now = now
        self._writing = threading.Lock()
        self._writer: Connection | None = None
        self._durable: bool | None = None
        """what the writing connection is set to; None: it is new, or comes from the pool, set to anything"""
        self._waits = 0.0
        """seconds for which the writing connection waits for other processes"""
        self._patience = _Patience()
        self._full_at = -math.inf
        self._turns = Turns(engine)

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Session]:
        """A session that may write. Not `durable`: a commit that may be undone, with all after it up to the next
        durable one, when the power fails; it does not wait for the disk, and is for what nobody is told of.
        """
        if not self.inline:
            with self._translated(), self.engine.begin() as connection:
                yield Session(connection, self._now())
            return
        if not self._writing.acquire(timeout=self._patience.limit):
            raise StoreUnavailable("the store is busy", "try again; `orchestune doctor` looks for the cause")
        try:
            with self._translated(), self._sqlite_transaction(durable) as connection:
                yield Session(connection, self._now())
        finally:
            self._writing.release()

    @contextmanager
    def _sqlite_transaction(self, durable: bool) -> Iterator[Connection]:
        """The one writing connection, kept open: taking one from the pool costs more than a trial's statements."""
        if self._writer is None:
            self._writer = self.engine.connect().execution_options(orchestune_begun=True)
            self._durable, self._waits = None, 0.0
        connection = self._writer
        driver: Any = connection.connection.driver_connection
        if self._durable is None:
            driver.execute(f"PRAGMA {sqlite.WRITERS_PRAGMA}")
        try:
            if durable is not self._durable:
                driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._begin(driver)
            yield connection
            driver.execute("COMMIT")
            if connection.in_transaction():  # what SQLAlchemy believes since a Core statement ran
                connection.commit()
        except BaseException:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
            self._writer = None
            connection.close()
            raise

    def _begin(self, driver: sqlite3.Connection) -> None:
        """Begin, and wait for other processes as long as this thread's patience lasts. Who has begun waits no more."""
        limit = self._patience.limit
        if limit != self._waits:
            driver.execute(f"PRAGMA busy_timeout={int(limit * 1000)}")
            self._waits = limit
        driver.execute("BEGIN IMMEDIATE")

    @contextmanager
    def impatient(self, seconds: float) -> Iterator[None]:
        """In this thread, `StoreUnavailable` comes after about `seconds`, not after `BUSY_SECONDS`."""
        self._patience.seconds = seconds
        try:
            yield
        finally:
            self._patience.seconds = None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the store and must not write."""
        with translated(), self.engine.connect() as connection:
            connection = connection.execution_options(**self._reading)
            with connection.begin():
                yield Session(connection, self._now())

    @property
    def full(self) -> bool:
        """Whether a change met a full disk moments ago, so that what happens is recorded later."""
        return 0.0 <= self._now() - self._full_at < _FULL_SECONDS

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated():
                yield
        except Full:
            self._full_at = self._now()
            raise

    def take_turn(self, name: str) -> bool:
        """Whether nobody else, here or in another server on this database, holds `name`, which is ours then until
        `leave_turn`.
        """
        with translated():
            return self._turns.take(name)

    def leave_turn(self, name: str) -> None:
        """The end of a turn that was taken; raises nothing."""
        self._turns.leave(name)

    def checkpoint(self) -> None:
        """Write what was committed from SQLite's log into its file, so that no commit has to. Call it now and then.

        Others go on reading and writing meanwhile, but for the last bit of a long log: while somebody writes all the
        time, it could not begin again at its start, and would grow.
        """
        if not self.inline:
            return
        with self._translated(), self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            pages = sqlite.checkpoint(driver)
            if pages > sqlite.LONG_LOG_PAGES and self._writing.acquire(timeout=sqlite.BUSY_SECONDS):
                try:
                    sqlite.checkpoint(driver)
                finally:
                    self._writing.release()

    def close(self) -> None:
        """Give back every connection."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        self._turns.close()
        self.engine.dispose()


def open_store(url: str, now: Callable[[], float] = time.time) -> Store:
    """The store at `sqlite:///PATH` or `postgresql://…`, its schema brought up to date (never down)."""
    from orchestune.store.migrate import upgrade  # Alembic only where a store is opened

    store = connect(url, now)
    try:
        with translated("is its address right, and does it run?"):
            if not store.inline:
                postgres.refuse_pooler(store.engine)
                postgres.refuse_encoding(store.engine)
            upgrade(store.engine)
    except DBAPIError as error:  # a right that is missing, an option that is none
        store.close()
        words = str(error.orig).splitlines()[0]
        hint = "look at its address, and at what its user may do there"
        raise UsageError(f"the database cannot be used: {words}", hint) from error
    except BaseException:
        store.close()
        raise
    return store


def connect(url: str, now: Callable[[], float] = time.time) -> Store:
    """`open_store` without looking at the schema."""
    if url.startswith(SQLITE):
        return Store(sqlite.create(Path(url.removeprefix(SQLITE))), now)
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        try:
            return Store(postgres.create(parsed), now)
        except ModuleNotFoundError as error:
            raise UsageError("PostgreSQL needs psycopg 3", "pip install 'orchestune[postgres]'") from error
    raise UsageError(f"no store for the URL scheme '{parsed.drivername}'", "use sqlite:///PATH or postgresql://…")


@contextmanager
def translated(hint: str = "try again in a moment") -> Iterator[None]:
    """Turn what drivers raise into `StoreUnavailable` where waiting may help; `hint`: what else may."""
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable("every connection to the store is in use", "try again in a moment") from error
    except (DBAPIError, sqlite3.Error, postgres.error()) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = str(cause)
        if getattr(cause, "sqlstate", "") in _TOO_LARGE:
            raise BadInput.one(f"a value is larger than the store can hold: {text.splitlines()[0]}") from error
        if "disk is full" in text or "disk full" in text.lower() or "No space left" in text:
            hint = "free some space (`orchestune doctor` says where); nothing was lost"
            raise Full("the disk of the store is full", hint) from error
        if any(words in text for words in ("read-only transaction", "session is read-only", "during recovery")):
            raise StoreUnavailable(f"the database takes no changes: {text.splitlines()[0]}", PRIMARY) from error
        if "readonly" in text or "read-only" in text:
            raise StoreUnavailable("the store is read-only", "make its folder writable for this user") from error
        if isinstance(cause, sqlite3.Error) and "malformed" in text:
            raise StoreDamaged(f"the database is damaged: {text}", DAMAGED) from error
        if "locked" in text or "busy" in text:
            raise StoreUnavailable(
                "the store is locked by another process", "try again; see `orchestune doctor`"
            ) from error
        away = OperationalError | sqlite3.OperationalError | postgres.error("OperationalError")
        if isinstance(error, away) or "terminating connection" in text:  # of PostgreSQL, which has idled too long
            raise StoreUnavailable(f"the store is away: {text.splitlines()[0]}", hint) from error
        raise
    except OverflowError as error:
        if "SQLite" not in str(error):
            raise
        raise BadInput.one("a number is larger than the store can hold (expected less than 2**63)") from error
