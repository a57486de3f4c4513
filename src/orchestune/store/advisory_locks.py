"""A PostgreSQL connection that holds advisory locks for this server."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError


class HoldingConnection:
    """A lazily opened connection in autocommit mode. Closing it releases its locks. Not thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def get(self) -> tuple[Connection, bool]:
        """Return the connection and True if it is new. Raises the driver's error if the database is unreachable."""
        fresh = self._connection is None
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._connection, fresh

    def rest(self) -> None:
        """Return the connection to the pool. It must not hold locks."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def give_up(self) -> None:
        """Close the connection, which releases its locks. Raises nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # must not return to the pool with its locks
                connection.invalidate()
                connection.close()
