"""Which of the servers on one database acts."""

from __future__ import annotations

import threading
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from orchestune.store.database import Store, translated

_LEADER = 7_021_502
"""any fixed number: the advisory lock of the replica whose controllers act"""


class Leadership:
    """Whether this replica's controllers act: on SQLite always, on PostgreSQL whoever holds the advisory lock.

    The lock lives as long as the connection that took it. Any thread may ask; StoreUnavailable where the database is
    away, and then the lock is given up with its connection, to be taken anew once the database is back.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking = threading.Lock()
        self._connection: Connection | None = None
        self._held = False

    def __call__(self) -> bool:
        """Whether it is so now."""
        if self._store.inline:
            return True
        with self._asking:
            try:
                with translated():
                    self._held = self._holds(self._connected())
            except BaseException:
                self._give_up()
                raise
            return self._held

    def resign(self) -> None:
        """Let another replica lead; to ask again is to try again."""
        with self._asking:
            self._give_up()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._connection

    def _holds(self, connection: Connection) -> bool:
        if self._held:
            connection.execute(text("SELECT 1"))
            return True
        return bool(connection.execute(text(f"SELECT pg_try_advisory_lock({_LEADER})")).scalar())

    def _give_up(self) -> None:
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            with suppress(SQLAlchemyError):  # closed for good, and not back in the pool with its lock
                connection.invalidate()
                connection.close()
