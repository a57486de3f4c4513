"""Rows are built by the names of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy import ColumnElement, literal_column, select

from orchestune.store.database import Store, open_store
from orchestune.store.rows import Query


class Pair(Struct, frozen=True):
    number: int
    word: str


@dataclass
class MutablePair:
    number: int
    word: str


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path / 'orchestune.db'}")
    yield store
    store.close()


@pytest.mark.parametrize("row", [Pair, MutablePair])
@pytest.mark.parametrize("columns", ["1 AS number, 'x' AS word", "'x' AS word, 1 AS number"])
def test_the_order_of_columns_does_not_matter(store: Store, row: type[Pair], columns: str) -> None:
    query = Query(row, f"SELECT {columns} WHERE :shown = 1")
    named = [column.split(" AS ") for column in columns.split(", ")]
    labels: list[ColumnElement[Any]] = [literal_column(value).label(name) for value, name in named]
    core = select(*labels)
    with store.reading() as session:
        for _ in range(2):
            assert session.rows(query, {"shown": 1}) == [row(1, "x")]
        assert session.row(query, {"shown": 1}) == row(1, "x")
        assert session.row(query, {"shown": 0}) is None
        assert session.select(core, row) == [row(1, "x")]
        assert session.first(core, row) == row(1, "x")
        assert session.first(core.where(literal_column("0 = 1")), row) is None


@pytest.mark.parametrize("columns", ["1 AS number", "1 AS number, 2 AS other", "1 AS number, 2 AS word, 3 AS more"])
def test_a_column_without_a_field_or_a_field_without_a_column_is_refused(store: Store, columns: str) -> None:
    with store.reading() as session, pytest.raises(TypeError, match="differ from the fields of Pair"):
        session.rows(Query(Pair, f"SELECT {columns}"), {})


def test_a_plain_type_takes_one_column(store: Store) -> None:
    with store.reading() as session:
        assert session.rows(Query(int, "SELECT 1 AS number UNION SELECT 2"), {}) == [1, 2]
        with pytest.raises(TypeError, match="expected one"):
            session.rows(Query(int, "SELECT 1 AS number, 2 AS other"), {})


class Columns(Struct, frozen=True):
    word: Sequence[str]
    number: Sequence[int]


def test_the_columns_of_all_rows_are_the_fields_of_one_row(store: Store) -> None:
    query = Query(Columns, "SELECT 1 AS number, 'x' AS word WHERE :shown = 1 UNION SELECT 2, 'y' WHERE :shown = 1")
    with store.reading() as session:
        columns = session.columns(query, {"shown": 1})
        assert (columns.number, columns.word) == ((1, 2), ("x", "y"))
        assert session.columns(query, {"shown": 0}) == Columns((), ())
