"""A program that listens at the database's address does not get the password of the server."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from orchestune.errors import UsageError
from orchestune.store import postgres
from orchestune.store.reach_database import attempt

PASSWORD = "hunter2-of-the-database"
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
CLEAR, MD5, DONE = struct.pack("!II", 8, 3), struct.pack("!II4s", 12, 5, b"salt"), struct.pack("!II", 8, 0)

pytestmark = pytest.mark.skipif(psycopg.pq.version() < 160000, reason="libpq without require_auth")


class FakeDatabase:
    """Answers every startup message with `request`; `messages` is what clients sent after it."""

    def __init__(self, request: bytes) -> None:
        self.messages = b""
        self._request = request
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                try:
                    self._answer(connection)
                except (OSError, struct.error):
                    continue

    def _answer(self, connection: socket.socket) -> None:
        while True:
            size = struct.unpack("!I", connection.recv(4))[0]
            startup = connection.recv(size - 4)
            if struct.unpack("!I", startup[:4])[0] not in (SSL_REQUEST, GSS_REQUEST):
                break
            connection.sendall(b"N")
        connection.sendall(b"R" + self._request)
        self.messages += connection.recv(1024)


@contextmanager
def fake_database(request: bytes) -> Iterator[FakeDatabase]:
    database = FakeDatabase(request)
    try:
        yield database
    finally:
        database.stop()


@pytest.mark.parametrize("request_of_server", [CLEAR, MD5, DONE], ids=["clear", "md5", "none"])
def test_a_fake_database_gets_no_password_and_is_refused(request_of_server: bytes) -> None:
    with fake_database(request_of_server) as database:
        url = f"postgresql://ada:{PASSWORD}@127.0.0.1:{database.port}/orchestune"
        with pytest.raises(UsageError, match="authentication method requirement") as refusal:
            attempt(url)
        engine = postgres.create(make_url(url))
        with pytest.raises(DBAPIError, match="authentication method requirement"):
            engine.connect()
    assert database.messages == b""
    assert "require_auth=METHOD" in refusal.value.hint


def test_another_method_is_used_only_if_the_url_names_it() -> None:
    with fake_database(CLEAR) as database:
        url = f"postgresql://ada:{PASSWORD}@127.0.0.1:{database.port}/orchestune?require_auth=password"
        engine = postgres.create(make_url(url))
        with pytest.raises(DBAPIError):
            engine.connect()
    assert PASSWORD.encode() in database.messages


@pytest.mark.parametrize(
    ("url", "environ", "needed"),
    [
        ("postgresql://ada@db/x", {}, True),
        ("postgresql://ada@[::1]:5432/x", {}, True),
        ("postgresql://ada@/x?host=db", {}, True),
        ("postgresql://ada@/x?host=A:5432&host=B:5432", {}, True),
        ("postgresql://ada@/x?host=/run/postgresql&host=db", {}, True),
        ("postgresql://ada@/x?host=/run/postgresql&hostaddr=127.0.0.1", {}, True),
        ("postgresql://ada@/x", {"PGHOST": "db"}, True),
        ("postgresql://ada@/x", {"PGHOSTADDR": "127.0.0.1"}, True),
        ("postgresql://ada@db/x?sslmode=require", {}, True),
        ("postgresql://ada@db/x?sslmode=prefer", {"PGSSLMODE": "verify-full"}, True),
        ("postgresql://ada@db/x?sslmode=verify-full", {}, False),
        ("postgresql://ada@db/x?sslmode=verify-ca", {}, False),
        ("postgresql://ada@db/x?sslrootcert=system", {}, False),
        ("postgresql://ada@db/x", {"PGSSLMODE": "verify-full"}, False),
        ("postgresql://ada@db/x", {"PGREQUIREAUTH": "md5"}, False),
        ("postgresql://ada@/x?service=lab", {}, False),
        ("postgresql:///x?host=/run/postgresql", {}, False),
        ("postgresql:///x", {"PGHOST": "/run/postgresql"}, False),
        ("postgresql:///x", {}, False),
    ],
)
def test_proof_is_required_over_tcp_without_verified_tls(url: str, environ: Mapping[str, str], needed: bool) -> None:
    assert postgres._needs_proof(make_url(url), environ) is needed
