"""Work that must not be done twice is done by one of several servers on one database."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.store.database import open_store
from orchestune.store.rows import Query
from tests.testbeds.waiting import until


@pytest.mark.postgres
def test_a_name_is_of_one_server_until_it_leaves_it_or_its_connection_ends(postgres_database: str) -> None:
    one, other, third = (open_store(postgres_database) for _ in range(3))
    assert one.acquire_lock("a") and one.acquire_lock("b")
    assert not other.acquire_lock("a")
    one.release_lock("a")
    assert other.acquire_lock("a") and not other.acquire_lock("b")
    with third.transaction() as session:
        session.rows(Query(bool, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"), {})
    until("a name to be free", lambda: third.acquire_lock("a"))
    until("the other name to be free", lambda: third.acquire_lock("b"))
    one.release_lock("b")
    other.release_lock("a")
    assert not one.acquire_lock("b")
    third.release_lock("b")
    assert one.acquire_lock("b")
    for store in (one, other, third):
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_name_is_of_one_caller_within_a_server(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_database") if kind == "postgresql" else f"sqlite:///{tmp_path / 'one.db'}"
    store = open_store(url)
    for _ in range(2):
        assert store.acquire_lock("a") and store.acquire_lock("b")
        assert not store.acquire_lock("a")
        store.release_lock("a")
        store.release_lock("b")
    store.close()
