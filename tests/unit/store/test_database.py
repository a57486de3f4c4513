"""Errors of the store with a full disk, a held lock or another schema; nothing is lost."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import cycle
from pathlib import Path
from select import select as wait_for_input
from typing import Any, cast

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url, select, text

from orchestune.errors import StoreDamaged, StoreUnavailable, UsageError
from orchestune.store import database, migrate, postgres, sqlite
from orchestune.store.blobs import put as put_blob
from orchestune.store.database import Store, connect, open_store
from orchestune.store.rows import Query
from orchestune.store.tables import blobs, metadata
from tests.testbeds.disks import small_disk
from tests.testbeds.waiting import until


def put(store: Store, digest: str, size: int = 1) -> None:
    with store.transaction() as session:
        session.change(blobs.insert().values(digest=digest, kind="bundle", size=size, created_at=session.now))


def digests(store: Store) -> list[str]:
    with store.reading() as session:
        return session.select(select(blobs.c.digest), str)


def test_the_migrations_make_the_tables_of_the_code(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_transaction_that_raises_changes_nothing(store: Store) -> None:
    def broken() -> None:
        with store.transaction() as session:
            session.change(blobs.insert().values(digest="a", kind="bundle", size=1, created_at=0.0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert digests(store) == []
    put(store, "b")
    assert digests(store) == ["b"]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_who_reads_sees_one_state_of_the_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_database") if kind == "postgresql" else f"sqlite:///{tmp_path / 'one.db'}"
    store = open_store(url)
    put(store, "a")
    with store.reading() as session:
        query = select(blobs.c.digest)
        before = session.select(query, str)
        put(store, "b")
        hot = session.rows(Query(str, "SELECT digest FROM blobs WHERE size = :size"), {"size": 1})
        assert before == session.select(query, str) == hot == ["a"]
    assert digests(store) == ["a", "b"]
    store.close()


@pytest.mark.postgres
def test_two_who_store_the_same_bytes_at_once_both_may(postgres_database: str) -> None:
    store = open_store(postgres_database)
    with ThreadPoolExecutor(1) as others:
        with store.transaction() as session:
            put_blob(session, "a", "bundle", 1)
            other = others.submit(_put_too, store)
            until("who waits for the row of the first", lambda: _waits(store))
        other.result(60)
    assert digests(store) == ["a"]
    store.close()


def _put_too(store: Store) -> None:
    with store.transaction() as session:
        put_blob(session, "a", "bundle", 1)


def _waits(store: Store) -> bool:
    with store.reading() as session:
        return bool(session.rows(Query(int, "SELECT 1 FROM pg_locks WHERE NOT granted"), {}))


@pytest.mark.postgres
def test_what_postgresql_cannot_hold_of_a_text_is_written_as_another_character(postgres_database: str) -> None:
    store = open_store(postgres_database)
    put(store, "co\0re")
    hot = "INSERT INTO blobs (digest, kind, size, created_at) VALUES (:digest, :kind, 1, 0)"
    with store.transaction() as session:
        session.run(hot, {"digest": "ho\0t", "kind": "bundle"})
        session.many(hot, [{"digest": f"{name}\0", "kind": "é\0"} for name in "ab"])
    assert sorted(digests(store)) == ["a\ufffd", "b\ufffd", "co\ufffdre", "ho\ufffdt"]
    store.close()


@contextmanager
def a_database(url: str, options: str = "", settings: str = "") -> Iterator[str]:
    """Another one of the same server."""
    admin = connect(url).engine
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE odd TEMPLATE template0 {options}")
        try:
            if settings:
                connection.exec_driver_sql(f"ALTER DATABASE odd SET {settings}")
            yield make_url(url).set(database="odd").render_as_string(hide_password=False)
        finally:
            connection.exec_driver_sql("DROP DATABASE odd")
    admin.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("options", "settings"),
    [("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", ""), ("ENCODING 'UTF8'", "client_encoding = 'LATIN1'")],
)
def test_every_text_is_kept_however_the_database_encodes_them(
    postgres_database: str, options: str, settings: str
) -> None:
    with a_database(postgres_database, options, settings) as url:
        store = open_store(url)
        put(store, "größe 实验")
        assert digests(store) == ["größe 实验"]
        store.close()


@pytest.mark.postgres
def test_a_database_that_lacks_most_characters_is_refused(postgres_database: str) -> None:
    latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    with (
        a_database(postgres_database, latin) as url,
        pytest.raises(UsageError, match="unsupported encoding of the database: LATIN1"),
    ):
        open_store(url)


@pytest.mark.postgres
def test_a_database_that_isolates_more_by_itself_lets_nobody_fail_who_waited(postgres_database: str) -> None:
    with a_database(postgres_database, settings="default_transaction_isolation = 'serializable'") as url:
        store = open_store(url)
        put(store, "a")
        with store.transaction() as one, store.transaction() as other:
            for session, name in ((one, "b"), (other, "c")):
                session.select(select(blobs.c.digest), str)
                session.change(blobs.insert().values(digest=name, kind="bundle", size=1, created_at=0.0))
        assert sorted(digests(store)) == ["a", "b", "c"]
        store.close()


def test_a_damaged_database_is_told_as_such(tmp_path: Path, store: Store) -> None:
    with store.reading() as session:
        [root] = session.rows(Query(int, "SELECT rootpage FROM sqlite_master WHERE name = 'blobs'"), {})
    store.close()
    file = tmp_path / "store.db"
    with file.open("r+b") as pages:
        pages.seek((root - 1) * 4096)
        pages.write(b"x" * 4096)
    damaged = open_store(f"sqlite:///{file}")
    with pytest.raises(StoreDamaged, match="malformed"):
        put(damaged, "a")
    damaged.close()


@pytest.mark.parametrize("name", ["a?b=c", "50%20off", "x#y", "q\"u'o", "new\nline", "user@host:1"])
def test_a_store_lies_where_its_path_says_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    file = tmp_path / name / "store.db"
    store = open_store(f"sqlite:///{file}")
    put(store, "a")
    store.close()
    assert file.is_file() and [path.name for path in tmp_path.iterdir()] == [name]


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path, store: Store) -> None:
    with store.transaction() as session:
        session.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="newer version"):
        open_store(f"sqlite:///{tmp_path / 'store.db'}")


def test_what_is_no_database_of_ours_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("ada the-token-of-ada\n" * 100)
    with pytest.raises(UsageError, match="the database cannot be used: file is not a database"):
        open_store(f"sqlite:///{tmp_path / 'tokens'}")
    with pytest.raises(StoreUnavailable, match="unable to open") as caught:
        open_store(f"sqlite:///{tmp_path / 'nowhere' / 'one.db'}")
    assert "address" in caught.value.hint


@pytest.mark.postgres
def test_a_database_that_takes_no_changes_is_told_as_one_that_may_take_them_later(postgres_database: str) -> None:
    store = open_store(postgres_database)

    def change() -> None:
        with store.transaction() as session:
            session.connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            session.run("DELETE FROM blobs WHERE size = :size", {"size": 1})

    with pytest.raises(StoreUnavailable, match="rejects changes: cannot execute DELETE in a read-only") as caught:
        change()
    assert "primary" in caught.value.hint
    store.close()


@pytest.mark.postgres
def test_a_database_of_which_only_standbys_are_there_is_told_as_one_that_may_take_changes_later(
    postgres_database: str,
) -> None:
    everywhere = f"{postgres_database}?target_session_attrs=read-write&options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(StoreUnavailable, match=r"rejects changes: .*session is read-only") as caught:
        open_store(everywhere)
    assert "target_session_attrs" in caught.value.hint


@pytest.mark.postgres
def test_what_the_driver_raises_of_hot_statements_is_an_error_of_the_store(postgres_database: str) -> None:
    store = open_store(postgres_database)

    def sleep() -> None:
        with store.transaction() as session:
            session.connection.exec_driver_sql("SET LOCAL statement_timeout = '50ms'")
            session.rows(Query(str, "SELECT pg_sleep(600)"), {})

    with pytest.raises(StoreUnavailable, match="canceling statement"):
        sleep()
    put(store, "a")
    store.close()


@pytest.mark.postgres
def test_a_transaction_that_the_database_ended_because_it_idled_may_be_tried_again(postgres_database: str) -> None:
    store = open_store(postgres_database)

    def idle() -> None:
        with store.transaction() as session:
            driver: Any = session.connection.connection.driver_connection
            session.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
            while True:
                wait_for_input([driver], [], [])  # until it says so
                session.select(text("SELECT 1"), int)

    with pytest.raises(StoreUnavailable, match=r"the store is unreachable: .*(terminating|closed the) connection"):
        idle()
    put(store, "a")
    store.close()


@pytest.mark.postgres
def test_a_database_that_refuses_its_user_is_told_in_a_sentence(postgres_database: str) -> None:
    with pytest.raises(UsageError, match=r"the database cannot be used: .*bogus"):
        open_store(f"{postgres_database}?bogus=1")
    admin = open_store(postgres_database)
    with admin.engine.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE guest_of_a_test LOGIN PASSWORD 'guest'")
        connection.exec_driver_sql("CREATE SCHEMA empty")
        connection.commit()
        try:
            guest = admin.engine.url.set(
                username="guest_of_a_test", password="guest", query={"options": "-csearch_path=empty"}
            )
            with pytest.raises(UsageError, match=r"the database cannot be used: .*schema"):
                open_store(guest.render_as_string(hide_password=False))
        finally:
            connection.exec_driver_sql("DROP ROLE guest_of_a_test")
            connection.commit()
    admin.close()


def test_a_database_that_takes_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert postgres._CONNECTION_SETTINGS["connect_timeout"] == 10
    monkeypatch.setitem(postgres._CONNECTION_SETTINGS, "connect_timeout", 2)  # the least that the driver takes
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(StoreUnavailable, match="timeout"):
            open_store(f"postgresql://ada:secret@127.0.0.1:{silent.getsockname()[1]}/orchestune")


def test_an_older_file_is_copied_before_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    store = database.connect(f"sqlite:///{path}")
    migrate._copy(store.engine, path, "0000")
    store.close()
    assert (tmp_path / "old.db.before-0000").exists()


def test_a_store_keeps_its_log_whatever_other_programs_look_into_it(tmp_path: Path) -> None:
    """Opening the file a second time in this process would release its locks: the copy before an upgrade must not."""
    path = tmp_path / "old.db"
    store = open_store(f"sqlite:///{path}")
    put(store, "a")
    migrate._copy(store.engine, path, "1001")
    look = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT digest FROM blobs').fetchall())"
    for digest in "bc":
        put(store, digest)
        output = subprocess.run([sys.executable, "-c", look, path], check=True, capture_output=True, text=True).stdout
        assert f"('{digest}',)" in output
        assert path.with_name("old.db-wal").exists(), "the other program took itself for the only one"
    assert digests(store) == ["a", "b", "c"]
    store.close()
    copied = sqlite3.connect(tmp_path / "old.db.before-1001")
    assert copied.execute("SELECT digest FROM blobs").fetchall() == [("a",)]
    copied.close()


def test_a_writer_waits_for_another_process_and_then_goes_on(tmp_path: Path, store: Store) -> None:
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    released = threading.Timer(0.5, lambda: other.execute("COMMIT"))
    released.start()
    put(store, "a")
    released.join()
    other.close()
    assert digests(store) == ["a"]


def test_a_lock_that_stays_is_told_and_nothing_is_lost(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    short = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        put(short, "a")
    other.execute("COMMIT")
    other.close()
    put(short, "a")
    short.close()
    assert digests(store) == ["a"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 2) as disk:
        yield disk


def test_a_full_disk_is_told_and_what_was_there_stays(disk: Path) -> None:
    store = open_store(f"sqlite:///{disk / 'store.db'}")
    put(store, "kept")

    def fill() -> None:
        for index in range(100):
            with store.transaction() as session:
                values = {"digest": f"big-{index}", "kind": "x" * 60_000, "size": 1, "created_at": 0.0}
                session.change(blobs.insert().values(**values))

    with pytest.raises(StoreUnavailable, match="full"):
        fill()
    assert "kept" in digests(store)
    store.close()


class Pooled:
    """Stands for an engine, and for each of its connections, whose statements meet these sessions, in turns."""

    def __init__(self, *sessions: int) -> None:
        self._sessions = cycle(sessions)

    def connect(self) -> Any:
        return nullcontext(self)

    def execution_options(self, **_: object) -> Pooled:
        return self

    def execute(self, _: object) -> Pooled:
        return self

    def scalar_one(self) -> int:
        return next(self._sessions)


@pytest.mark.parametrize("sessions", [(7,), (7, 8, 9)], ids=["one for everybody", "another one each time"])
def test_a_pooler_that_gives_each_transaction_another_session_is_refused(sessions: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="connection pooler"):
        postgres.refuse_pooler(cast("Any", Pooled(*sessions)))


def test_connections_that_have_sessions_of_their_own_are_taken() -> None:
    postgres.refuse_pooler(cast("Any", Pooled(7, 8)))
