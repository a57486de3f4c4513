"""Durability of a commit, and the size of the write-ahead log."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from orchestune.store import sqlite
from orchestune.store.database import Store
from orchestune.store.session import Session
from orchestune.store.tables import blobs

NORMAL, FULL = 1, 2


def put(session: Session, digest: str) -> None:
    session.change(blobs.insert().values(digest=digest, kind="bundle", size=1, created_at=session.now))


def waits_for_the_disk(store: Store, durable: bool) -> int:
    with store.transaction(durable=durable) as session:
        return int(session.connection.exec_driver_sql("PRAGMA synchronous").scalar_one())


def test_a_commit_waits_for_the_disk_unless_it_says_that_it_need_not(store: Store) -> None:
    assert [waits_for_the_disk(store, durable) for durable in (True, False, False, True)] == [
        FULL, NORMAL, NORMAL, FULL,
    ]  # fmt: skip


def test_after_an_error_commits_wait_for_the_disk_again(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction(durable=False):
        raise RuntimeError
    assert waits_for_the_disk(store, durable=True) == FULL


def test_what_did_not_wait_for_the_disk_is_read_by_all(store: Store) -> None:
    with store.transaction(durable=False) as session:
        put(session, "a")
    with store.reading() as session:
        assert session.select(select(blobs.c.digest), str) == ["a"]


def test_a_log_that_is_copied_now_and_then_stays_short(tmp_path: Path, store: Store) -> None:
    sizes = []
    for number in range(20):
        for part in range(10):
            with store.transaction() as session:
                put(session, f"{number}-{part}")
        store.checkpoint()
        sizes.append((tmp_path / "store.db-wal").stat().st_size)
    assert sizes[-1] == sizes[1]  # the first holds the schema too


def test_the_log_begins_again_although_somebody_writes_all_the_time(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LONG_LOG_PAGES", 100)
    ended = threading.Event()
    written = [0]

    def write() -> None:
        while not ended.is_set():
            with store.transaction(durable=False) as session:
                put(session, str(written[0]))
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written[0] < 3000:
            store.checkpoint()
    finally:
        ended.set()
        writer.join()
    pages = (tmp_path / "store.db-wal").stat().st_size / 4096
    assert pages < written[0]  # each commit writes at least two
