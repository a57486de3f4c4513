"""Polled queries about records at tracking servers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from orchestune.store import tracking_runs
from orchestune.store.database import Store


def test_what_is_not_recorded_yet_is_found_without_a_look_at_all_trials(store: Store) -> None:
    statements: list[tuple[str, Any]] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.extend([(statement, parameters)] if "tracking_runs" in statement else [])

    with store.reading() as session:
        tracking_runs.behind(session)
        [(statement, parameters)] = statements
        driver: Any = session.connection.connection.driver_connection
        plan = [str(step[3]) for step in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert plan[0] == "SCAN tracking_runs USING INDEX ix_tracking_runs_experiment_event_seq"
