"""A probe of a server whose database or disk takes no more: a failing answer in time, without details for strangers."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from orchestune.errors import StoreUnavailable
from orchestune.server import readiness
from orchestune.server.readiness import Readiness, disk_problem
from orchestune.services.core import Core
from orchestune.store.database import connect, open_store
from tests.testbeds.disks import small_disk
from tests.unit.server.harness import Live, live, until

ANSWER_SECONDS = 10.0  # 2 s, and slack for a busy machine: without an answer in time it is the driver's 10 s and more


@contextmanager
def blackhole() -> Iterator[int]:
    """The port of a database that accepts connections and never answers."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    accepted.append(listening.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in accepted:
                connection.close()


@pytest.fixture
def unanswered(own_core: Core) -> Iterator[Live]:
    """A server whose database is such a hole."""
    with blackhole() as port:
        store = connect(f"postgresql://orchestune:hunter2@127.0.0.1:{port}/secret_name?connect_timeout=60")
        with live(replace(own_core, store=store)) as server:
            yield server
            server.draining.begin()


def with_folders(server: Live, *folders: Path) -> None:
    object.__setattr__(server.context, "readiness", Readiness(server.core, folders))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_blackholed_database_is_red_in_time_for_many_probes_at_once(unanswered: Live, method: str) -> None:
    statuses: list[int] = []

    def probe() -> None:
        statuses.append(unanswered.ask(method, "/readyz", token=None).status)

    began = time.monotonic()
    probes = [threading.Thread(target=probe) for _ in range(30)]
    for thread in probes:
        thread.start()
    for thread in probes:
        thread.join()
    assert time.monotonic() - began < ANSWER_SECONDS
    assert statuses == [503] * 30
    assert unanswered.ask(method, "/healthz", token=None).status == 200


def test_strangers_learn_no_address_of_the_database(own_core: Core) -> None:
    with socket.socket() as unused:  # bound, but not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        store = connect(f"postgresql://orchestune:hunter2@127.0.0.1:{port}/secret_name")
        with live(replace(own_core, store=store)) as server:
            for method, path in (("GET", "/readyz"), ("HEAD", "/readyz"), ("GET", "/sign-in?code=x"), ("GET", "/")):
                token = "t.guess" if path == "/" else None
                reply = server.ask(method, path, token=token)
                reply_text = reply.body.decode() + str(reply.headers)
                assert reply.status == 503, path
                assert not [word for word in (str(port), "secret_name", "hunter2", "connection") if word in reply_text]
            reason = server.ask("GET", "/readyz", token=None).json()["error"]["message"]
            assert reason == "the store is unreachable"


def test_a_full_disk_is_red_and_green_again(own_core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(own_core) as server:
        with_folders(server, tmp_path, tmp_path / "not-there-yet")
        assert server.ask("GET", "/readyz", token=None).status == 200
        monkeypatch.setattr(readiness, "disk_problem", lambda folder: disk_problem(folder, 2**62))
        reply = server.ask("GET", "/readyz", token=None)
        assert (reply.status, reply.json()["error"]["message"]) == (503, "the disk is full")
        assert str(tmp_path) not in reply.body.decode()
        monkeypatch.undo()
        assert server.ask("GET", "/readyz", token=None).status == 200
        assert list(tmp_path.glob(".ready-*")) == []


def test_a_disk_without_room_is_found_by_writing_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1) as disk:
        assert disk_problem(disk, min_free_bytes=0) == ""
        with suppress(OSError), (disk / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        assert disk_problem(disk, min_free_bytes=0).startswith("cannot write to the disk: ")
        assert disk_problem(disk).startswith("the disk is full: ")


def test_a_full_disk_of_the_store_is_red(own_core: Core) -> None:
    with live(own_core) as server:
        own_core.store._full_at = own_core.clock.now()
        reply = server.ask("GET", "/readyz", token=None)
        assert (reply.status, reply.json()["error"]["message"]) == (503, "the disk of the store is full")


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".ready-{os.getpid()}").symlink_to(victim)
    assert disk_problem(tmp_path, min_free_bytes=0).startswith("cannot write to the disk")
    assert victim.read_text() == "precious"


def test_a_stopped_postgres_is_red_in_time(own_core: Core, postgres_database: str) -> None:
    store = open_store(postgres_database.replace("postgresql+psycopg://", "postgresql://"))
    with live(replace(own_core, store=store)) as server:
        assert server.ask("GET", "/readyz", token=None).status == 200
        with store.engine.connect() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        children = [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        stopped = [parent, *children]
        for each in stopped:
            os.kill(each, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert server.ask("GET", "/readyz", token=None).status == 503
            assert time.monotonic() - began < ANSWER_SECONDS
        finally:
            for each in stopped:
                os.kill(each, signal.SIGCONT)
        until(lambda: server.ask("GET", "/readyz", token=None).status == 200, "ready again")
    store.close()


def test_a_caller_who_is_known_still_hears_the_reason(own_core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store is away: no route to 10.0.0.7")

    monkeypatch.setattr("orchestune.services.queries.read_server.metrics", away)
    with live(own_core) as server:
        token = next(iter(own_core.owners))
        reply = server.ask("GET", "/metrics", token=token)
        assert (reply.status, "10.0.0.7" in reply.body.decode()) == (503, True)
