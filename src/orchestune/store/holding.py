"""A connection of PostgreSQL whose advisory locks show what this server alone does."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError


class HoldingConnection:
    """A connection outside of transactions, opened when it is wanted. Its locks end with it. Not safe to share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def get(self) -> tuple[Connection, bool]:
        """It, and whether it is a new one; what the driver raises where the database is away."""
        fresh = self._connection is None
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._connection, fresh

    def rest(self) -> None:
        """Back to the pool: no lock is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def give_up(self) -> None:
        """Close it for good, and its locks with it; raises nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # not back in the pool with its locks
                connection.invalidate()
                connection.close()
