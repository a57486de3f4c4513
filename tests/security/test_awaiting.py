"""A server whose database comes later, or never: it waits, answers probes, and shuts down on a signal."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from orchestune.errors import StoreUnavailable, UsageError
from orchestune.server import await_database
from orchestune.server.await_database import wait_for_database
from orchestune.store.reach_database import attempt
from tests.unit.server.harness import until

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(await_database, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(await_database, "QUIET_SECONDS", 0.01)


def ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()


def test_a_database_that_comes_later_is_awaited_and_the_log_says_so_once(
    listening: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    port, tries = listening.getsockname()[1], 0

    def reach(url: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            assert ask(port, "GET", "/healthz") == (200, b'{"status": "ok"}')
            status, body = ask(port, "POST", "/api/v1/experiments")
            assert (status, json.loads(body)["error"]["code"]) == (503, "store_unavailable")
            assert ask(port, "GET", "/readyz")[0] == 503
        if tries < 4:
            raise StoreUnavailable("the store is away: connection refused")

    with caplog.at_level(logging.INFO, "orchestune.server"):
        assert wait_for_database("postgresql://db/x", [listening], reach)
    assert tries == 4
    assert caplog.text.count("waiting for the database: the store is away: connection refused") == 1
    assert "the database is available" in caplog.text
    assert listening.fileno() >= 0


def test_an_error_that_no_waiting_mends_comes_at_once(listening: socket.socket) -> None:
    def reach(url: str) -> None:
        raise UsageError("the database refuses this server: password authentication failed")

    with pytest.raises(UsageError, match="password"):
        wait_for_database("postgresql://db/x", [listening], reach)


def test_clients_that_say_nothing_keep_no_probe_from_its_answer(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    idle: list[socket.socket] = []
    answers: list[int] = []

    def reach(url: str) -> None:
        if not answers:
            idle.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(20))
            answers.append(ask(port, "GET", "/healthz")[0])
            raise StoreUnavailable("the store is away")

    try:
        assert wait_for_database("postgresql://db/x", [listening], reach)
        assert answers == [200]
    finally:
        for client in idle:
            client.close()


def start(state: Path, url: str, log: Path) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTUNE_")}
    command = [
        sys.executable,
        "-m",
        "orchestune",
        "server",
        "--state",
        str(state),
        "--port",
        "0",
        "--database-url",
        url,
    ]
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env={**environ, "PYTHONPATH": str(SOURCE)})


@pytest.mark.parametrize("silent", [True, False], ids=["a database that hangs", "a database that is not there"])
def test_sigterm_ends_a_server_that_waits(tmp_path: Path, silent: bool) -> None:
    log = tmp_path / "log"
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        if silent:
            database.listen()
        url = f"postgresql://orchestune@127.0.0.1:{database.getsockname()[1]}/x?connect_timeout=60"
        server = start(tmp_path / "state", url, log)
        try:
            if silent:  # it has connected, and gets no answer
                database.settimeout(60)
                accepted, _ = database.accept()
            else:
                until(lambda: "waiting for the database" in log.read_text(), "it waits")
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0, log.read_text()
            assert time.monotonic() - began < 15
            if silent:
                accepted.close()
        finally:
            server.kill()
            server.wait()


def test_a_real_database_is_reached_and_one_that_is_not_there_refuses(postgres_database: str) -> None:
    url = postgres_database.replace("postgresql+psycopg://", "postgresql://")
    attempt(url)
    with pytest.raises(UsageError, match="refuses this server"):
        attempt(url + "_missing")
    base = url.partition("?")[0].rpartition("/")[0]
    user = base.partition("://")[2].rpartition("@")[0]
    if user:
        with pytest.raises(UsageError, match="refuses this server"):
            attempt(url.replace(f"{user}@", "nobody_of_this_name:wrong@"))


def test_a_server_without_a_main_thread_waits_too() -> None:
    reached: list[bool] = []
    thread = threading.Thread(target=lambda: reached.append(wait_for_database("x", (), lambda url: None)))
    thread.start()
    thread.join()
    assert reached == [True]
