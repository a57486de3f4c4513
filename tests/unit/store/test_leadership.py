"""One of several servers acts, also after the database was away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestune.errors import StoreUnavailable
from orchestune.store.database import Store, open_store
from orchestune.store.leadership import Leadership
from orchestune.store.rows import Query
from tests.testbeds.waiting import until


@pytest.fixture
def stores(postgres_database: str) -> Iterator[list[Store]]:
    new_stores = [open_store(postgres_database) for _ in range(2)]
    yield new_stores
    for store in new_stores:
        store.close()


@pytest.fixture
def leaderships(stores: list[Store]) -> Iterator[list[Leadership]]:
    leases = [Leadership(store) for store in stores]
    yield leases
    for leads in leases:
        leads.resign()


def cut_off(store: Store) -> None:
    """Terminate the leader's connection in the database, and wait until it has gone."""
    with store.transaction() as session:
        session.rows(Query(bool, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"), {})
    until("no leader", lambda: not _locks(store))


def _locks(store: Store) -> list[int]:
    with store.reading() as session:
        return session.rows(Query(int, "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"), {})


@pytest.mark.postgres
def test_one_leads_and_another_one_once_the_first_is_cut_off(
    stores: list[Store], leaderships: list[Leadership]
) -> None:
    first, second = leaderships
    assert [first(), second(), first()] == [True, False, True]
    cut_off(stores[1])
    with pytest.raises(StoreUnavailable):
        first()
    assert second()
    assert not first()
    second.resign()
    until("the first one to lead", first)  # the database lets go of a lock a moment after its connection ended


@pytest.mark.postgres
def test_who_was_cut_off_leads_again_whichever_threads_ask(stores: list[Store], leaderships: list[Leadership]) -> None:
    leads = leaderships[0]
    for _ in range(3):
        assert leads()
        cut_off(stores[1])
        with ThreadPoolExecutor(6) as asking:
            answers = [asking.submit(leads) for _ in range(12)]
        failed = [answer.exception() for answer in answers if answer.exception()]
        assert len(failed) == 1 and isinstance(failed[0], StoreUnavailable)
    assert leads()


@pytest.mark.postgres
def test_the_log_says_what_another_server_on_the_database_has_differently(
    stores: list[Store], caplog: pytest.LogCaptureFixture
) -> None:
    alike = {"other keys": b"secret", "other files": b"/here"}
    first, second, third = (
        Leadership(store, common)
        for store, common in ((stores[0], alike), (stores[1], alike), (stores[1], alike | {"other keys": b"own"}))
    )
    assert (first(), second(), caplog.messages) == (True, False, [])
    assert not third() and not third()
    assert caplog.messages == ["other keys"]
    for leads in (first, second, third):
        leads.resign()


def test_on_sqlite_whoever_asks_leads(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'one.db'}")
    assert Leadership(store)() and Leadership(store)()
    store.close()
