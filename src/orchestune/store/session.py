"""One transaction: statements that run per trial (hot) as strings for the driver, others (cold) by SQLAlchemy Core."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Executable, Select, Table
from sqlalchemy.dialects import sqlite

from orchestune.store.rows import Cursor, Query, row_builder

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

Parameters = Mapping[str, Any]
_Value = TypeVar("_Value")
_Row = TypeVar("_Row")
_MAX_VALUES = 500
"""values per IN clause: databases accept some thousands to some ten thousands"""


def batches(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """Return an iterator over lists of at most `_MAX_VALUES` values."""
    listed = list(values)
    return (listed[start : start + _MAX_VALUES] for start in range(0, len(listed), _MAX_VALUES))


@cache
def _pyformat(statement: str) -> str:
    return re.sub(r":([a-z_]+)", r"%(\1)s", statement.replace("%", "%%"))


class Session:
    """The connection of an open transaction. Statements as strings have named parameters, `:name`.

    Building a Core statement costs more than executing it on SQLite (measured: 1.06 ms against 0.12 ms for all
    statements of a trial), so statements that run per trial are strings in `statements`; all others are Core.
    """

    def __init__(self, connection: Connection, now: float) -> None:
        self.connection = connection
        self.now = now  # the time of the whole transaction
        self.postgres = connection.dialect.name == "postgresql"
        self._driver: Any = connection.connection.driver_connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT statement of this database, to which a clause for rows that exist can be added."""
        if not self.postgres:
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # 60 ms that a server with SQLite need not take to start

        return postgresql.insert(table)

    def rows(self, query: Query[_Row], parameters: Parameters) -> list[_Row]:
        """Return the rows of a hot query."""
        cursor = self._execute(query.statement, parameters)
        build = query.builder(cursor.description)
        return [build(*values) for values in cursor.fetchall()]

    def row(self, query: Query[_Row], parameters: Parameters) -> _Row | None:
        """Return the first row of a hot query, None if there is none."""
        cursor = self._execute(query.statement, parameters)
        values = cursor.fetchone()
        return None if values is None else query.builder(cursor.description)(*values)

    def columns(self, query: Query[_Row], parameters: Parameters) -> _Row:
        """Return the columns of a hot query as one `_Row`; each field has the values of all rows, in row order."""
        cursor = self._execute(query.statement, parameters)
        columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(cursor.description)
        return query.builder(cursor.description)(*columns)

    def _execute(self, statement: str, parameters: Parameters) -> Cursor:
        cursor: Cursor = self._driver.execute(_pyformat(statement) if self.postgres else statement, parameters)
        return cursor

    def run(self, statement: str, parameters: Parameters) -> int:
        """Execute a hot change and return the number of affected rows."""
        return self._execute(statement, parameters).rowcount

    def many(self, statement: str, parameters: Sequence[Parameters]) -> int:
        """Execute a hot change once per element and return the total number of affected rows."""
        if not parameters:
            return 0
        cursor = self._driver.cursor()
        cursor.executemany(_pyformat(statement) if self.postgres else statement, parameters)
        return int(cursor.rowcount)

    def select(self, statement: Executable, row: type[_Row]) -> list[_Row]:
        """Return the rows of a cold query."""
        result = self.connection.execute(statement)
        build = row_builder(row, tuple(result.keys()))
        return [build(*values) for values in result]

    def among(
        self, statement: Select[Any], column: ColumnElement[Any], values: Iterable[object], row: type[_Row]
    ) -> list[_Row]:
        """Return the rows of a cold query with one of these values in `column`, for any number of values.

        Runs one statement per `_MAX_VALUES` values; the query's order holds only within each of them.
        """
        return [each for batch in batches(values) for each in self.select(statement.where(column.in_(batch)), row)]

    def first(self, statement: Executable, row: type[_Row]) -> _Row | None:
        """Return the first row of a cold query, None if there is none."""
        result = self.connection.execute(statement)
        values = result.first()
        return None if values is None else row_builder(row, tuple(result.keys()))(*values)

    def change(self, statement: Executable, parameters: Sequence[Parameters] = ()) -> int:
        """Execute a cold change, once per element of `parameters` if any, and return the number of affected rows."""
        return int(self.connection.execute(statement, list(parameters) or None).rowcount)
