"""Another user of the machine opens more connections than an embedded server has descriptors for: they are closed."""

from __future__ import annotations

import select
import socket
import time
from urllib.parse import urlsplit

from orchestune.server.connections import MAX_UNCHECKED_CONNECTIONS
from tests.security.test_port_hijack import as_another_user, as_nobody, ask, published
from tests.testbeds.home import Home

OPENED = MAX_UNCHECKED_CONNECTIONS + 200


def open_and_count(port: int) -> bytes:
    """Open connections that ask for nothing; return how many of them the server has closed in time."""
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(OPENED)]
    deadline, closed = time.monotonic() + 20, 0
    while time.monotonic() < deadline and closed < OPENED - MAX_UNCHECKED_CONNECTIONS:
        poll = select.poll()
        for connection in connections:
            poll.register(connection, select.POLLIN)
        closed = len(poll.poll(0))
        time.sleep(0.1)
    return str(closed).encode()


def ask_in_crowd(url: str) -> bytes:
    """Hold as many silent connections as stay open, and ask what a worker in a container asks first."""
    address = urlsplit(url).netloc
    crowd = [socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 30) for _ in range(OPENED)]
    path = f"/api/v1/proof?nonce={'0' * 32}&address={address}"
    answers = b" ".join(ask(url, path) for _ in range(20))
    for connection in crowd:
        connection.close()
    return answers


@as_another_user
def test_a_crowd_of_another_user_keeps_no_container_from_its_server() -> None:
    """With 128 silent connections open, the server refused those of all users but its own."""
    with Home() as home:
        home.run("status")
        url = published(home).url
        assert as_nobody(lambda: ask_in_crowd(url)).split() == [b"200"] * 20


@as_another_user
def test_another_user_cannot_take_all_connections_of_an_embedded_server() -> None:
    with Home() as home:
        home.run("status")
        url = published(home).url
        closed = int(as_nobody(lambda: open_and_count(urlsplit(url).port or 0)))
        assert OPENED - MAX_UNCHECKED_CONNECTIONS <= closed < OPENED
        own = [socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 30) for _ in range(OPENED)]
        assert ask(url, "/healthz") == b"200"  # one more of the server's own user
        for connection in own:
            connection.close()
        home.run("status")
