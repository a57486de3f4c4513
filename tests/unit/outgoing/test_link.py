from __future__ import annotations

import socket
import time

import pytest

from orchestune.errors import Denied, Unreachable
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.http import HttpLink
from tests.testbeds.receiver import Receiver

ANY_DESTINATION = AllowedDestinations(everywhere=True)
SHORT = 1.0


def test_one_connection_carries_several_requests() -> None:
    with Receiver([200, 201, 500]) as receiver:
        with HttpLink(receiver.url, ANY_DESTINATION) as link:
            statuses = [link.request("POST", "/a?b=c", b"{}", {"X-One": "two"}).status for _ in range(3)]
    assert statuses == [200, 201, 500]
    assert [(request.path, request.headers["x-one"]) for request in receiver.received] == [("/a?b=c", "two")] * 3
    assert receiver.received[0].headers["host"] == f"127.0.0.1:{receiver.port}"


def test_a_redirect_is_an_answer_and_nobody_goes_where_it_leads() -> None:
    with Receiver() as inside, Receiver([302], elsewhere=inside.url) as receiver:
        with HttpLink(receiver.url, ANY_DESTINATION) as link:
            answer = link.request("POST", "/", b"{}")
    assert (answer.status, answer.good) == (302, False)
    assert not inside.received


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_server_that_takes_its_time_is_left_though_each_byte_comes_soon(behaviour: str) -> None:
    with Receiver([behaviour]) as receiver:
        with pytest.raises(Unreachable, match="timeout after"):
            HttpLink(receiver.url, ANY_DESTINATION, SHORT).request("POST", "/", b"{}")


@pytest.mark.parametrize("behaviour", ["cut", "garbage"])
def test_a_server_that_breaks_is_one_that_cannot_be_reached(behaviour: str) -> None:
    with Receiver([behaviour]) as receiver:
        with pytest.raises(Unreachable, match="did not answer"):
            HttpLink(receiver.url, ANY_DESTINATION).request("POST", "/", b"{}")


def test_of_an_endless_answer_a_part_is_read() -> None:
    with Receiver(["endless", 200]) as receiver:
        link = HttpLink(receiver.url, ANY_DESTINATION)
        assert len(link.request("POST", "/").body) == 1 << 20
        assert link.request("POST", "/").status == 200
        link.close()


def test_a_server_that_closes_each_connection_is_looked_at_each_time() -> None:
    with Receiver(["endless"]) as receiver:
        reach = AllowedDestinations(hosts=frozenset(["localhost"]))
        link = HttpLink(f"http://localhost:{receiver.port}/", reach)
        link.request("POST", "/")
        link._reach = AllowedDestinations()  # what the name leads to has changed meanwhile
        with pytest.raises(Denied):
            link.request("POST", "/")
        link.close()
    assert len(receiver.received) == 1


def test_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    with Receiver([200, "cut", 200]) as receiver:
        link = HttpLink(receiver.url, ANY_DESTINATION)
        assert [link.request("POST", "/").status for _ in range(2)] == [200, 200]
        link.close()
    assert len(receiver.received) == 3


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="did not answer"):
        HttpLink(f"http://127.0.0.1:{port}/", ANY_DESTINATION).request("GET", "/")


def test_a_handshake_that_never_ends_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            HttpLink(f"https://127.0.0.1:{silent.getsockname()[1]}/", ANY_DESTINATION, SHORT).request("GET", "/")
        assert time.monotonic() - began >= SHORT


def test_an_address_inside_is_not_even_connected_to() -> None:
    with Receiver() as receiver:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(Denied):
                HttpLink(f"http://{host}:{receiver.port}/", AllowedDestinations()).request("POST", "/", b"{}")
    assert not receiver.received
