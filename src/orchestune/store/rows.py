"""Typed rows of queries, built by column name.

A row is a `Struct` or a dataclass with one field for each column of its query, or a plain type (`int`, `str`) for a
query of one column. The order of columns and fields does not matter; a column without a field, or a field without a
column, raises TypeError at the first execution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

_Row = TypeVar("_Row")


class Cursor(Protocol):
    """The part of a DB-API cursor that queries use."""

    description: Sequence[Sequence[Any]]
    rowcount: int

    def fetchone(self) -> Sequence[Any] | None: ...

    def fetchall(self) -> list[Sequence[Any]]: ...


class Query(Generic[_Row]):
    """A SELECT that runs for every trial, as a string, with the type of its rows. Parameters are named `:name`."""

    def __init__(self, row: type[_Row], statement: str) -> None:
        self.row = row
        self.statement = statement
        self._builder: Callable[..., _Row] | None = None

    def builder(self, description: Sequence[Sequence[Any]]) -> Callable[..., _Row]:
        """Return a function that builds a row from its values; `description` is that of a DB-API cursor.

        A statement always has the same columns, so their names are compared only once.
        """
        if self._builder is None:
            self._builder = row_builder(self.row, tuple(column[0] for column in description))
        return self._builder


def row_builder(row: type[_Row], columns: tuple[str, ...]) -> Callable[..., _Row]:
    """Return a function that builds a `row` from the values of these columns, in this order."""
    fields: Iterable[str] | None
    fields = getattr(row, "__struct_fields__", None) or getattr(row, "__dataclass_fields__", None)
    if fields is None:
        if len(columns) != 1:
            raise TypeError(f"a query for {row.__name__} has the columns {', '.join(columns)} (expected one)")
        return _same
    in_order = _arrangement(row.__name__, tuple(fields), columns)
    return row if in_order is None else lambda *values: row(*in_order(values))


@cache
def _arrangement(
    name: str, fields: tuple[str, ...], columns: tuple[str, ...]
) -> Callable[[Sequence[Any]], tuple[Any, ...]] | None:
    """Return a function that reorders column values into field order, None if the orders are equal."""
    if len(columns) != len(fields) or set(columns) != set(fields):
        difference = sorted(set(columns) ^ set(fields)) or ["a column twice"]
        raise TypeError(f"the columns of the query differ from the fields of {name}: {', '.join(difference)}")
    return None if columns == fields else itemgetter(*map(columns.index, fields))


def _same(value: Any) -> Any:
    return value


class StateCount(Struct, frozen=True, gc=False):
    """The number of rows in a state."""

    state: str
    count: int
