"""Statements that run for every trial take no longer when there are more trials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest
from sqlalchemy import text

from orchestune.store import changes, experiment_lists, experiments, statements
from orchestune.store.database import Store, open_store
from orchestune.store.rows import Query

HOT = [import_module(f"{statements.__name__}.{each.name}") for each in iter_modules(statements.__path__)]
WHOLE = {"experiment_lists.OUTLINES": "the list of experiments is searched and sorted as a whole"}
"""statements that read all there is on purpose, and why"""
QUERIES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": query
    for module in (*HOT, changes, experiments, experiment_lists)
    for name, query in vars(module).items()
    if isinstance(query, Query) and not query.statement.endswith("FOR UPDATE")  # SQLite locks otherwise
}
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": statement
    for module in (*HOT, experiments, experiment_lists)
    for name, value in vars(module).items()
    if isinstance(statement := value.statement if isinstance(value, Query) else value, str)
    and re.match(r"\s*(SELECT|UPDATE|DELETE)\s", statement)
    and not statement.endswith("FOR UPDATE")
}
_SCAN = re.compile(
    r"SCAN (?!CONSTANT ROW)|(trials|tasks|attempts|\b[art]) USING (COVERING )?INDEX \w+ \(experiment=\?\)"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'orchestune.db'}")
    yield store
    store.close()


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WHOLE.keys()))
def test_no_hot_statement_looks_through_all_trials_of_an_experiment(store: Store, name: str) -> None:
    explained = text(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}")
    with store.reading() as session:
        plan = [step.detail for step in session.connection.execute(explained, _parameters(STATEMENTS[name]))]
    assert plan
    assert not [step for step in plan if _SCAN.search(step)]


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_the_columns_of_each_query_are_the_fields_of_its_rows(store: Store, name: str) -> None:
    query = QUERIES[name]
    with store.reading() as session:
        session.rows(query, _parameters(query.statement))


def _parameters(statement: str) -> dict[str, int]:
    return dict.fromkeys(re.findall(r":([a-z_]+)", statement), 1)
