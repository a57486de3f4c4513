"""Cost of reading a log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from orchestune.store import logs
from orchestune.store.database import Store
from orchestune.store.session import Session


@pytest.mark.parametrize(
    "read",
    [
        partial(logs.segments_after, experiment="e", after=0, limit=100, trial=7),
        partial(logs.last_segments, experiment="e", trial=7, limit=100, most=2**20),
    ],
    ids=["from the start", "its end"],
)
def test_the_log_of_one_trial_is_read_without_those_of_others(store: Store, read: Callable[[Session], object]) -> None:
    statements: list[tuple[str, Any]] = []
    event.listen(
        store.engine, "before_cursor_execute", lambda *arguments: statements.append((arguments[2], arguments[3]))
    )
    with store.reading() as session:
        read(session)
        statement, parameters = statements[-1]
        plan = [row[3] for row in session.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    step = "ix_log_segments_experiment_trial_seq (experiment=? AND trial=?"
    assert [line for line in plan if "SEARCH log_segments" in line and step in line], plan
    assert not [line for line in plan if "SCAN" in line or "TEMP" in line], plan
