"""The addresses at which a browser reaches a server through this user: other users of the machine do not come through.

A browser sends its cookie to any program that binds a port of this machine later, so a session alone is not enough.
"""

from __future__ import annotations

import errno
import socket
import threading
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestune.client.tunnels import gateway as gateways
from orchestune.client.tunnels.gateway import gateway
from orchestune.errors import UsageError
from orchestune.system import listening, local_socket
from tests.security.test_other_family import hijack, with_ipv6
from tests.security.test_port_hijack import as_another_user, as_nobody, ask, published
from tests.testbeds.home import Home

SILENT = 50


@as_another_user
def test_another_user_does_not_come_through_a_gateway_also_with_a_token() -> None:
    with Home() as home:
        home.run("status")
        server = published(home)
        authorization = f"Bearer {server.token}"

        def dial(timeout: float) -> socket.socket:
            return local_socket.connect(server.socket, timeout)

        with gateway(dial) as url:
            name = urlsplit(url).netloc
            address = f"http://127.0.0.1:{urlsplit(url).port}"
            assert ask(address, "/api/v1/server", Authorization=authorization, Host=name) == b"200"
            assert as_nobody(lambda: ask_closed(address, "/api/v1/server", Authorization=authorization, Host=name))
            assert as_nobody(lambda: ask_closed(address, "/healthz"))


def ask_closed(url: str, path: str, **headers: str) -> bytes:
    """A text if the connection is closed without an answer."""
    try:
        ask(url, path, **headers)
    except (HTTPException, ConnectionError):
        return b"closed"
    return b""


def far_away(timeout: float) -> socket.socket:
    raise OSError("no server is needed")


def count_closed(port: int) -> bytes:
    """Open silent connections; return how many are closed long before the timeout of the user's own."""
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(SILENT)]
    closed = sum(_is_closed(connection) for connection in connections)
    return str(closed).encode()


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@as_another_user
def test_silent_connections_of_another_user_hold_neither_threads_nor_descriptors_of_a_gateway() -> None:
    with gateway(far_away) as url:
        port = urlsplit(url).port or 0
        threads = threading.active_count()
        assert as_nobody(lambda: count_closed(port)) == str(SILENT).encode()
        assert threading.active_count() <= threads


def test_silent_connections_of_the_user_are_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways._Browser, "timeout", 0.1)
    with gateway(far_away) as url, socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 30) as silent:
        assert silent.recv(1) == b""


@with_ipv6
def test_no_other_program_gets_the_port_of_a_gateway_in_the_other_family() -> None:
    with gateway(far_away) as url:
        assert hijack("::1", urlsplit(url).port or 0) == errno.EADDRINUSE


@with_ipv6
def test_a_gateway_takes_another_port_than_one_that_is_squatted_in_the_other_family(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    squatters: list[socket.socket] = []
    real = listening._bound_socket

    def bound(family: int, *args: Any, **options: Any) -> socket.socket:
        if family == socket.AF_INET6 and len(squatters) < 3:  # the attacker sees the port of IPv4, and is faster
            squatters.append(socket.create_server(("::1", args[1]), family=socket.AF_INET6))
        return real(family, *args, **options)

    monkeypatch.setattr(listening, "_bound_socket", bound)
    with gateway(far_away) as url:
        assert urlsplit(url).port not in [squatter.getsockname()[1] for squatter in squatters]
    assert len(squatters) == 3
    for squatter in squatters:
        squatter.close()


@with_ipv6
def test_there_is_no_gateway_if_all_ports_are_squatted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = listening._bound_socket

    def bound(family: int, *args: Any, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise listening.PortTaken("::1", args[1])
        return real(family, *args, **options)

    monkeypatch.setattr(listening, "_bound_socket", bound)
    with pytest.raises(UsageError, match=r"another program uses \[::1\]"), gateway(far_away):
        pass


@as_another_user
def test_the_link_to_the_pages_of_an_embedded_server_is_of_no_use_to_another_user() -> None:
    with Home() as home:
        home.run("status")
        parts = urlsplit(home.run("ui", "--print", timeout=60).stdout.strip())
        url, path = published(home).url, f"{parts.path}?{parts.query}"
        assert parts.port == urlsplit(url).port  # its own port, and not a way to its Unix socket
        assert as_nobody(lambda: ask(url, path, Host=parts.netloc)) == b"403"
        assert as_nobody(lambda: ask(url, "/")) == b"403"  # which would lead to the name of the pages
        connection = HTTPConnection("127.0.0.1", parts.port, timeout=30)
        connection.request("GET", path, headers={"Host": parts.netloc})
        cookie = connection.getresponse().getheader("Set-Cookie", "").partition(";")[0]
        connection.close()
        assert ask(url, "/api/v1/experiments", Cookie=cookie, Host=parts.netloc) == b"200"
        assert as_nobody(lambda: ask(url, "/api/v1/experiments", Cookie=cookie, Host=parts.netloc)) == b"403"
