"""A question may name more trials than a database takes in one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from orchestune.domain.lifecycle.states import TrialState
from orchestune.store import artifacts, attempts, tables, trials
from orchestune.store.database import open_store
from orchestune.store.session import Session

MANY = range(70_000)
"""PostgreSQL takes 65,535, SQLite as its sources have it 32,766"""
EXISTING = (1, 400, 69_999)


def kept_artifacts(session: Session) -> list[int]:
    artifacts.drop(session, "e", {*MANY} - {1})
    return [number for number in EXISTING if artifacts.of_trial(session, "e", number)]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda session: trials.metrics_of(session, "e", MANY), EXISTING),
        (lambda session: [row.number for row in trials.of_numbers(session, "e", MANY)], EXISTING),
        (lambda session: trials.places(session, "e", MANY), EXISTING),
        (lambda session: attempts.of_trials(session, "e", MANY), EXISTING),
        (lambda session: [span.trial for span in attempts.spans_of(session, "e", MANY)], EXISTING),
        (kept_artifacts, EXISTING[1:]),
    ],
    ids=["metrics", "trials", "places", "attempts", "spans", "files"],
)
def test_as_many_trials_may_be_named_as_there_are(
    kind: str, ask: Callable[[Session], Any], expected: tuple[int, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_database") if kind == "postgresql" else f"sqlite:///{tmp_path / 'one.db'}"
    store = open_store(url)
    with store.transaction() as session:
        for table, row in {
            "trials": {"state": TrialState.COMPLETED, "parameters": "{}", "source": "user", "seed": 1, "revision": 1,
                       "created_at": 1.0, "finished_at": 2.0, "history_seq": 1},
            "trial_metrics": {"name": "loss", "value": 1.0, "is_declared": True},
            "attempts": {"fold": 0, "attempt_number": 1, "state": "succeeded", "worker": "w", "node": "",
                         "leased_at": 1.0},
            "artifacts": {"path": "model", "attempt": "a", "digest": "d", "size": 1, "created_at": 1.0},
        }.items():  # fmt: skip
            for trial in EXISTING:
                named = {"number" if table == "trials" else "trial": trial, "id": f"a{trial}"}
                columns = tables.metadata.tables[table].c
                own = {name: value for name, value in named.items() if name in columns}
                session.change(insert(tables.metadata.tables[table]).values(experiment="e", **own, **row))
        driver: Any = session.connection.connection.driver_connection
        if kind == "sqlite":
            driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
        assert sorted(ask(session)) == list(expected)
    store.close()
