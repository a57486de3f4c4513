"""What must not be carried out twice is carried out by one of several servers on one database."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.store.database import open_store
from orchestune.store.rows import Query
from tests.testbeds.waiting import until


@pytest.mark.postgres
def test_a_name_is_of_one_server_until_it_leaves_it_or_its_connection_ends(postgres_database: str) -> None:
    one, other, third = (open_store(postgres_database) for _ in range(3))
    assert one.take_turn("a") and one.take_turn("b")
    assert not other.take_turn("a")
    one.leave_turn("a")
    assert other.take_turn("a") and not other.take_turn("b")
    with third.transaction() as session:
        session.rows(Query(bool, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"), {})
    until("a name to be free", lambda: third.take_turn("a"))
    until("the other name to be free", lambda: third.take_turn("b"))
    one.leave_turn("b")
    other.leave_turn("a")
    assert not one.take_turn("b")
    third.leave_turn("b")
    assert one.take_turn("b")
    for store in (one, other, third):
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_name_is_of_one_caller_within_a_server(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_database") if kind == "postgresql" else f"sqlite:///{tmp_path / 'one.db'}"
    store = open_store(url)
    for _ in range(2):
        assert store.take_turn("a") and store.take_turn("b")
        assert not store.take_turn("a")
        store.leave_turn("a")
        store.leave_turn("b")
    store.close()
