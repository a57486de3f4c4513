"""Rows are read by the names of their columns: the order of columns in a statement means nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestune

SOURCES = Path(orchestune.__file__).parent
PACKAGES = ("store", "services", "controllers", "server")
DRIVERS = ("store/session.py", "store/sqlite.py", "store/postgres.py", "store/database.py")
"""modules that talk to a driver themselves"""
READING = {"rows", "row", "select", "first", "among", "columns"}
"""methods of a session that return rows"""
FETCHING = {"fetchone", "fetchall", "fetchmany", "scalar_one", "scalars", "_tuple"}


def positional_reads(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and reason of each place that reads a row by the position of its columns."""
    rows = _names_of_rows(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in FETCHING:
            yield node.lineno, f"calls {node.attr}"
        elif isinstance(node, ast.For | ast.comprehension) and _reads(node.iter) and isinstance(node.target, ast.Tuple):
            yield node.target.lineno, "unpacks each row"
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in rows:
            if isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
                yield node.lineno, f"takes column {node.slice.value} of {node.value.id}"
        elif isinstance(node, ast.Call) and ast.unparse(node).startswith("map(tuple,"):
            yield node.lineno, "makes tuples of rows"


def _names_of_rows(tree: ast.AST) -> set[str]:
    """Return the names that are given a single row: of `session.row`, `session.first`, and of loops over rows."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _reads(node.value, {"row", "first"}):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.For | ast.comprehension) and _reads(node.iter) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _reads(node: ast.AST, methods: set[str] = READING) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in methods
        and isinstance(node.func.value, ast.Name | ast.Attribute)
        and (node.func.value.id if isinstance(node.func.value, ast.Name) else node.func.value.attr) == "session"
    )


def test_no_row_is_read_by_position() -> None:
    places = [
        f"{path.relative_to(SOURCES)}:{line} {reason}"
        for package in PACKAGES
        for path in sorted((SOURCES / package).rglob("*.py"))
        if not path.relative_to(SOURCES).as_posix().startswith(DRIVERS)
        for line, reason in positional_reads(ast.parse(path.read_text()))
    ]
    assert places == []


@pytest.mark.parametrize(
    "statement",
    [
        "for trial, state in session.rows(QUERY, {}): pass",
        "states = [state for _, state in self.session.select(query)]",
        "row = session.first(query)\nprint(row[0])",
        "for row in session.rows(QUERY, {}): print(row[1])",
        "dict(map(tuple, session.select(query)))",
        "value = connection.execute(query).fetchone()",
    ],
)
def test_positional_reads_are_found(statement: str) -> None:
    assert list(positional_reads(ast.parse(statement)))


def test_reads_by_name_are_not_reported() -> None:
    by_name = (
        "for row in session.rows(QUERY, {}):\n    print(row.state)\nrows = session.select(query, Row)\nrows[0].state"
    )
    assert not list(positional_reads(ast.parse(by_name)))
