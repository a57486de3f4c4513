"""Open the store, run transactions, and translate driver errors into errors of this project."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestune.errors import BadInput, StoreDamaged, StoreUnavailable, UsageError
from orchestune.store import postgres, sqlite
from orchestune.store.named_locks import NamedLocks
from orchestune.store.session import Session

SQLITE = "sqlite:///"
"""URL prefix of a file path, which is taken literally: no character is special"""
PRIMARY = "name the primary, or all of them: …/NAME?host=A:5432&host=B:5432&target_session_attrs=read-write"
DAMAGED = (
    "end the server, then put a copy in the place of orchestune.db and remove its -wal and -shm, or save what can be"
    " read with `sqlite3 orchestune.db .recover`; look at the disk, too"
)


_RETRY = "retry in a moment"
_TOO_LARGE = ("22001", "22003")  # SQLSTATE: text too long for its column, number out of range
_FULL_SECONDS = 15.0
"""seconds for which the disk counts as full after a failed write: workers and controllers retry in a third of that"""


class StoreFull(StoreUnavailable):
    """The disk of the store is full."""


class _Patience(threading.local):
    """Timeout of the calling thread for the write lock. None: the default, `sqlite.BUSY_SECONDS`."""

    seconds: float | None = None

    @property
    def limit(self) -> float:
        """The timeout in seconds."""
        return sqlite.BUSY_SECONDS if self.seconds is None else self.seconds


class Store:
    """SQLite or PostgreSQL behind one interface; the contract tests run the same class against both.

    `transaction` is atomic. SQLite has one writer at a time: a lock of the process, which queues threads, comes before
    the lock of the database, which polls. On PostgreSQL the row lock of the experiment serializes writers.
    `StoreUnavailable` means that nothing was changed and that a retry may succeed.
    """

    def __init__(self, engine: Engine, now: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.in_process = engine.dialect.name == "sqlite"
        """True for SQLite: no other process changes the data, so that every change gives a signal in this one"""
        self._reading: dict[str, Any] = {"orchestune_reading": True} if self.in_process else postgres.READING
        self._now = now
        self._writing = threading.Lock()
        self._writer: Connection | None = None
        self._durable: bool | None = None
        """durability to which the writing connection is set; None: unknown, since it is new or comes from the pool"""
        self._waits = 0.0
        """timeout in seconds for which the writing connection waits for other processes"""
        self._patience = _Patience()
        self._full_at = -math.inf
        self._turns = NamedLocks(engine)

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Session]:
        """Open a read-write transaction. Commits on success, rolls back on an exception.

        If not `durable`, the commit does not wait for the disk, and a power failure may undo it and the commits after
        it up to the next durable one: only for changes that have not been acknowledged to a client.
        """
        if not self.in_process:
            with self._translated(), self.engine.begin() as connection:
                yield Session(connection, self._now())
            return
        if not self._writing.acquire(timeout=self._patience.limit):
            raise StoreUnavailable("the store is busy", "retry; `orchestune doctor` looks for the cause")
        is_committed = False
        try:
            yield Session(self._begun(durable), self._now())
            self._commit()
            is_committed = True
        except _driver_errors() as error:
            failure = self._failure(error)
            if failure is error:
                raise
            raise failure from error
        finally:
            if not is_committed:
                with suppress(sqlite3.Error, DBAPIError):  # closing the connection rolls back as well
                    self._discard_writer()
            self._writing.release()

    def _begun(self, durable: bool) -> Connection:
        """Begin a transaction on the one writing connection, kept open: a pool checkout costs more than a trial."""
        if self._writer is None:
            self._writer = self.engine.connect().execution_options(orchestune_begun=True)
            self._durable, self._waits = None, 0.0
        connection = self._writer
        driver: Any = connection.connection.driver_connection
        if self._durable is None:
            driver.execute(f"PRAGMA {sqlite.WRITERS_PRAGMA}")
        if durable is not self._durable:
            driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self._begin(driver)
        return connection

    def _commit(self) -> None:
        connection = self._writer
        assert connection is not None, "a transaction has begun"
        driver: Any = connection.connection.driver_connection
        driver.execute("COMMIT")
        if connection.in_transaction():  # SQLAlchemy assumes so after a Core statement
            connection.commit()

    def _discard_writer(self) -> None:
        """Roll back and close the writing connection: its state is unknown after an error."""
        connection, self._writer = self._writer, None
        if connection is None:
            return
        try:
            driver: Any = connection.connection.driver_connection
            if driver.in_transaction:
                driver.execute("ROLLBACK")
        finally:
            connection.close()

    def _begin(self, driver: sqlite3.Connection) -> None:
        """Begin; wait for other processes up to this thread's timeout. After BEGIN IMMEDIATE no statement waits."""
        limit = self._patience.limit
        if limit != self._waits:
            driver.execute(f"PRAGMA busy_timeout={int(limit * 1000)}")
            self._waits = limit
        driver.execute("BEGIN IMMEDIATE")

    @contextmanager
    def impatient(self, seconds: float) -> Iterator[None]:
        """Raise `StoreUnavailable` in this thread after about `seconds` instead of `BUSY_SECONDS`."""
        self._patience.seconds = seconds
        try:
            yield
        finally:
            self._patience.seconds = None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only session on one snapshot of the store."""
        with translated(), self.engine.connect() as connection:
            connection = connection.execution_options(**self._reading)
            with connection.begin():
                yield Session(connection, self._now())

    @property
    def full(self) -> bool:
        """True if a write failed on a full disk within the last seconds, so that changes are recorded later."""
        return 0.0 <= self._now() - self._full_at < _FULL_SECONDS

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _driver_errors() as error:
            failure = self._failure(error)
            if failure is error:
                raise
            raise failure from error

    def _failure(self, error: BaseException) -> BaseException:
        """Return the translation of an error, and note a full disk."""
        failure = translation(error)
        if isinstance(failure, StoreFull):
            self._full_at = self._now()
        return failure

    def acquire_lock(self, name: str) -> bool:
        """Acquire the lock `name` without blocking, to be released by `release_lock`.

        Return False if another caller in this server or in another one on this database holds it.
        """
        with translated():
            return self._turns.take(name)

    def release_lock(self, name: str) -> None:
        """Release the lock `name`. Raises nothing."""
        self._turns.leave(name)

    def checkpoint(self) -> None:
        """Copy SQLite's write-ahead log into the database file, so that no commit has to. Call it periodically.

        Other connections keep reading and writing. Only the end of a long log is copied under the write lock: under
        continuous writes the log could not restart from its beginning and would grow.
        """
        if not self.in_process:
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
        """Close every connection."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        self._turns.close()
        self.engine.dispose()


def open_store(url: str, now: Callable[[], float] = time.time) -> Store:
    """Open the store at `sqlite:///PATH` or `postgresql://…` and upgrade its schema (never downgrade)."""
    from orchestune.store.migrate import upgrade  # import Alembic only when a store is opened

    with ExitStack() as on_error:
        store = connect(url, now)
        on_error.callback(store.close)
        try:
            with translated("is its address right, and does it run?"):
                if not store.in_process:
                    postgres.refuse_pooler(store.engine)
                    postgres.refuse_encoding(store.engine)
                upgrade(store.engine)
        except DBAPIError as error:  # a missing permission or an invalid option
            words = str(error.orig).splitlines()[0]
            hint = "check its address and the permissions of its user"
            raise UsageError(f"the database cannot be used: {words}", hint) from error
        on_error.pop_all()
    return store


def connect(url: str, now: Callable[[], float] = time.time) -> Store:
    """Return the store like `open_store`, without checking or upgrading the schema."""
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
def translated(hint: str = _RETRY) -> Iterator[None]:
    """Translate driver errors, into `StoreUnavailable` if a retry may help. `hint` is for an unreachable store."""
    try:
        yield
    except _driver_errors() as error:
        failure = translation(error, hint)
        if failure is error:
            raise
        raise failure from error


def _driver_errors() -> tuple[type[Exception], ...]:
    """Return the types of the errors that `translation` may translate."""
    return PoolTimeout, OverflowError, DBAPIError, sqlite3.Error, postgres.error()


def translation(error: BaseException, hint: str = _RETRY) -> BaseException:
    """Return the error of this project for a driver error, and any other error as it is."""
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("every connection to the store is in use", _RETRY)
    if isinstance(error, OverflowError) and "SQLite" in str(error):
        return BadInput.one("a number is larger than the store can hold (expected less than 2**63)")
    if not isinstance(error, (DBAPIError, sqlite3.Error, postgres.error())):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = str(cause)
    if getattr(cause, "sqlstate", "") in _TOO_LARGE:
        return BadInput.one(f"a value is larger than the store can hold: {text.splitlines()[0]}")
    if "disk is full" in text or "disk full" in text.lower() or "No space left" in text:
        return StoreFull(
            "the disk of the store is full",
            "free some space (`orchestune doctor` shows where); nothing was lost",
        )
    if any(words in text for words in ("read-only transaction", "session is read-only", "during recovery")):
        return StoreUnavailable(f"the database rejects changes: {text.splitlines()[0]}", PRIMARY)
    if "readonly" in text or "read-only" in text:
        return StoreUnavailable("the store is read-only", "make its folder writable for this user")
    if isinstance(cause, sqlite3.Error) and "malformed" in text:
        return StoreDamaged(f"the database is damaged: {text}", DAMAGED)
    if "locked" in text or "busy" in text:
        return StoreUnavailable("the store is locked by another process", "retry; see `orchestune doctor`")
    away = OperationalError | sqlite3.OperationalError | postgres.error("OperationalError")
    if isinstance(error, away) or "terminating connection" in text:  # by PostgreSQL, after an idle timeout
        return StoreUnavailable(f"the store is unreachable: {text.splitlines()[0]}", hint)
    return error
