"""Listeners on real sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from orchestune.server import listeners
from orchestune.server.listeners import MAX_ACCEPTS_PER_TURN, Listener


class Greeting(asyncio.Protocol):
    """Counts connections, sends a byte and closes."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).count += 1
        transport.write(b"x")  # type: ignore[attr-defined]
        transport.close()


@pytest.fixture
def greeting() -> type[Greeting]:
    return type("CountedGreeting", (Greeting,), {"count": 0})


@pytest.fixture(params=["tcp", "unix"])
def listening(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[socket.socket]:
    if request.param == "tcp":
        server = socket.create_server(("127.0.0.1", 0), backlog=512)
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(tmp_path / "socket"))
        server.listen(512)
    with server:
        yield server


def connect(listening: socket.socket) -> socket.socket:
    client = socket.socket(listening.family)
    client.settimeout(30)
    client.connect(listening.getsockname())
    return client


def test_all_waiting_connections_are_accepted_in_a_few_turns(
    listening: socket.socket, greeting: type[Greeting]
) -> None:
    clients = [connect(listening) for _ in range(2 * MAX_ACCEPTS_PER_TURN)]

    async def turns() -> int:
        listener = Listener(listening, greeting)  # type: ignore[arg-type]
        count = 0
        while greeting.count < len(clients):
            await asyncio.sleep(0)
            count += 1
        listener.close()
        await listener.wait_closed()
        return count

    # one connection in each turn would take as many turns as there are connections
    assert uvloop.run(turns()) < MAX_ACCEPTS_PER_TURN / 2
    assert [client.recv(1) for client in clients] == [b"x"] * len(clients)
    for client in clients:
        client.close()


def test_a_listener_without_free_descriptors_accepts_again_later(
    listening: socket.socket,
    greeting: type[Greeting],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(listeners, "_RETRY_SECONDS", 0.01)

    class Full:
        """The socket, whose first three connections fail."""

        failures = 3

        def __getattr__(self, name: str) -> Any:
            return getattr(listening, name)

        def accept(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return listening.accept()

    async def serve() -> None:
        listener = Listener(Full(), greeting)  # type: ignore[arg-type]
        while not greeting.count:
            await asyncio.sleep(0.01)
        listener.close()

    with connect(listening) as client:
        uvloop.run(asyncio.wait_for(serve(), 60))
        assert client.recv(1) == b"x"
    assert [record.message for record in caplog.records].count(
        "cannot accept connections: [Errno 24] Too many open files"
    ) == 3


def test_a_closed_listener_accepts_nothing_more(listening: socket.socket, greeting: type[Greeting]) -> None:
    async def serve() -> None:
        listener = Listener(listening, greeting)  # type: ignore[arg-type]
        listener.close()
        listener.close()
        await asyncio.sleep(0.05)

    with connect(listening):
        uvloop.run(serve())
    assert greeting.count == 0 and listening.fileno() == -1
