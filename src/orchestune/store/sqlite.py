"""Configuration of SQLite connections, and checkpoints of its write-ahead log."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, event

BUSY_SECONDS = 20.0
LONG_LOG_PAGES = 4096
WRITERS_PRAGMA = "cache_size=-8192"
_PAGE_BYTES = 4096

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    # each connection has its own cache, and the OS caches the pages too: larger ones only make the process grow
    "cache_size=-2048",
    # a background thread calls `checkpoint`; commits run one only if that cannot keep up
    f"wal_autocheckpoint={4 * LONG_LOG_PAGES}",
    # keep the log file for reuse: extending a file makes a commit slower than overwriting it
    f"journal_size_limit={4 * LONG_LOG_PAGES * _PAGE_BYTES}",
)


def create(path: Path) -> Engine:
    """Return an engine on the file, which is created if missing. Execution options select the kind of BEGIN."""
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, pool_size=10, max_overflow=30, pool_reset_on_return=None)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # no implicit BEGIN by the driver
        for pragma in (f"busy_timeout={int(BUSY_SECONDS * 1000)}", *_PRAGMAS):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: object) -> None:
        options = connection.get_execution_options()  # type: ignore[attr-defined]
        if options.get("orchestune_begun"):
            return
        mode = "DEFERRED" if options.get("orchestune_reading") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")  # type: ignore[attr-defined]

    return engine


def checkpoint(connection: sqlite3.Connection) -> int:
    """Copy as much of the log as possible without blocking. Return the number of pages in the log."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
