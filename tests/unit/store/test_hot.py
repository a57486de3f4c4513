"""What runs for every trial takes no longer when there are more of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestune.store import hot
from orchestune.store.database import Store, open_store
from orchestune.store.rows import Query

WHOLE = {"OUTLINES": "the list of experiments is searched and sorted as a whole"}
"""statements that read all there is on purpose, and why"""
TEXTS = {name: value.statement if isinstance(value, Query) else value for name, value in vars(hot).items()}
STATEMENTS = {
    name: text
    for name, text in TEXTS.items()
    if isinstance(text, str) and re.match(r"\s*(SELECT|UPDATE|DELETE)\s", text) and not text.endswith("FOR UPDATE")
}
_SCAN = re.compile(r"SCAN |(trials|tasks|attempts|\b[art]) USING (COVERING )?INDEX \w+ \(experiment=\?\)")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'orchestune.db'}")
    yield store
    store.close()


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WHOLE.keys()))
def test_no_hot_statement_looks_through_all_trials_of_an_experiment(store: Store, name: str) -> None:
    parameters = dict.fromkeys(re.findall(r":([a-z_]+)", STATEMENTS[name]), 1)
    with store.reading() as session:
        plan = [str(row[3]) for row in session.rows(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", parameters)]
    assert plan
    assert not [step for step in plan if _SCAN.search(step)]
