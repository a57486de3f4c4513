"""The door on this machine to a server that no address leads to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from orchestune.client.gateway import gateway
from orchestune.errors import Unreachable
from tests.testbeds.seed import TOKEN, core_of
from tests.unit.server.harness import Live, live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    core = core_of(tmp_path_factory.mktemp("state"))
    with live(core) as found:
        yield found
    core.store.close()


def connect(url: str) -> HTTPConnection:
    return HTTPConnection(url.removeprefix("http://"), timeout=60)


def test_a_browser_comes_through_to_the_server(server: Live) -> None:
    with gateway(lambda timeout: socket.create_connection(("127.0.0.1", server.port), timeout)) as url:
        connection = connect(url)
        for _ in range(2):  # a connection is kept
            connection.request("GET", "/sign-in")
            answer = connection.getresponse()
            assert answer.status == 200 and b"Sign in" in answer.read()
        connection.close()


def test_a_stream_comes_through_as_it_is_sent(server: Live) -> None:
    with gateway(lambda timeout: socket.create_connection(("127.0.0.1", server.port), timeout)) as url:
        connection = connect(url)
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {TOKEN}"}
        connection.request("GET", "/api/v1/experiments", headers=headers)
        answer = connection.getresponse()
        assert answer.readline() == b"retry: 1000\n"
        while answer.readline() != b"event: ready\n":
            pass
        connection.close()


def test_a_server_that_is_away_is_told_of_in_words() -> None:
    def away(timeout: float) -> socket.socket:
        raise Unreachable("the server in cluster 'lab' does not answer", "look at its pod")

    with gateway(away) as url:
        connection = connect(url)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 503 and b"cluster 'lab' does not answer" in answer.read()
        connection.close()


def test_the_door_is_shut_after_the_block(server: Live) -> None:
    with gateway(lambda timeout: socket.create_connection(("127.0.0.1", server.port), timeout)) as url:
        pass
    connection = connect(url)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")
    connection.close()
