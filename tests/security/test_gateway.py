"""The addresses at which a browser reaches a server through this user: other users of the machine do not come through.

A browser sends its cookie to whoever binds a port of this machine later, so a session alone must not be enough.
"""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

from orchestune.client.tunnels.gateway import gateway
from orchestune.system import local_socket
from tests.security.test_port_hijack import as_another_user, as_nobody, ask, published
from tests.testbeds.home import Home


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
            assert as_nobody(lambda: ask(address, "/api/v1/server", Authorization=authorization, Host=name)) == b"403"
            assert as_nobody(lambda: ask(address, "/healthz")) == b"403"


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
