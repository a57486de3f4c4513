"""Another user of the machine opens more connections than an embedded server has descriptors for: they are closed."""

from __future__ import annotations

import select
import socket
import time
from urllib.parse import urlsplit

from orchestune.server.connections import UNCHECKED
from tests.security.test_port_hijack import as_another_user, as_nobody, ask, published
from tests.testbeds.home import Home

OPENED = UNCHECKED + 200


def open_and_count(port: int) -> bytes:
    """Open connections that ask for nothing; return how many of them the server has closed in time."""
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(OPENED)]
    deadline, closed = time.monotonic() + 20, 0
    while time.monotonic() < deadline and closed < OPENED - UNCHECKED:
        poll = select.poll()
        for connection in connections:
            poll.register(connection, select.POLLIN)
        closed = len(poll.poll(0))
        time.sleep(0.1)
    return str(closed).encode()


@as_another_user
def test_another_user_cannot_take_all_connections_of_an_embedded_server() -> None:
    with Home() as home:
        home.run("status")
        url = published(home).url
        closed = int(as_nobody(lambda: open_and_count(urlsplit(url).port or 0)))
        assert OPENED - UNCHECKED <= closed < OPENED
        own = [socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 30) for _ in range(OPENED)]
        assert ask(url, "/healthz") == b"200"  # one more of the server's own user
        for connection in own:
            connection.close()
        home.run("status")
