"""The way of a browser on this machine to a server that no address leads to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest

from orchestune.client.tunnels.gateway import gateway
from orchestune.errors import Unreachable
from tests.testbeds.seed import TOKEN, core_of
from tests.unit.server.harness import Live, live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    core = core_of(tmp_path_factory.mktemp("state"))
    with live(core) as live_server:
        yield live_server
    core.store.close()


class Browser(HTTPConnection):
    """A connection of a browser, which resolves names below `localhost` without DNS."""

    def __init__(self, url: str) -> None:
        super().__init__(url.removeprefix("http://"), timeout=60)
        self._create_connection = lambda address, *more: socket.create_connection(("127.0.0.1", address[1]), *more)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[HTTPResponse, bytes]:
        """An answer and its body."""
        self.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = self.getresponse()
        return answer, answer.read()


def connect(url: str) -> Browser:
    return Browser(url)


def to(server: Live) -> Callable[[float], socket.socket]:
    """A program that connects to a server."""
    return lambda timeout: socket.create_connection(("127.0.0.1", server.port), timeout)


def test_a_browser_comes_through_to_the_server(server: Live) -> None:
    with gateway(to(server)) as url:
        connection = connect(url)
        for _ in range(2):  # a connection is kept
            connection.request("GET", "/sign-in")
            answer = connection.getresponse()
            assert answer.status == 200 and b"Sign in" in answer.read()
        connection.close()


def test_a_stream_comes_through_as_it_is_sent(server: Live) -> None:
    with gateway(to(server)) as url:
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
    with gateway(to(server)) as url:
        pass
    connection = connect(url)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")
    connection.close()


def test_the_browser_gets_a_secret_that_is_of_use_at_this_gateway_alone(server: Live) -> None:
    path = server.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["path"]
    with gateway(to(server)) as url, gateway(to(server)) as other:
        browser, elsewhere = connect(url), connect(other)
        answer, _ = browser.ask("GET", path)
        cookie, _, attributes = answer.headers["Set-Cookie"].partition(";")
        assert "HttpOnly" in attributes and "SameSite=lax" in attributes and "Domain" not in attributes
        name, _, secret = cookie.partition("=")
        assert browser.ask("GET", "/api/v1/server", Cookie=f"a=b; {cookie}; c")[0].status == 200
        assert elsewhere.ask("GET", "/api/v1/server", Cookie=cookie)[0].status == 401
        elsewhere.close()
        stolen = {"Cookie": f"orchestune-{server.port}={secret}"}
        assert server.ask("GET", "/api/v1/server", token=None, headers=stolen).status == 401
        answer, _ = browser.ask("POST", "/sign-out", Cookie=cookie, Sec_Fetch_Site="same-origin")
        assert answer.headers["Set-Cookie"].startswith(f'{name}="";')
        assert browser.ask("GET", "/api/v1/server", Cookie=cookie)[0].status == 401
        browser.close()


def test_a_session_of_the_server_itself_is_not_taken_from_a_browser(server: Live) -> None:
    path = server.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["path"]
    cookie = server.ask("GET", path, token=None).headers["set-cookie"].partition(";")[0]
    assert server.ask("GET", "/api/v1/server", token=None, headers={"Cookie": cookie}).status == 200
    with gateway(to(server)) as url:
        browser = connect(url)
        session = f"orchestune-{browser.port}={cookie.partition('=')[2]}"
        assert browser.ask("GET", "/api/v1/server", Cookie=session)[0].status == 401
        browser.close()


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "{name}:1", "x.{name}:{port}", "example.org"])
def test_the_gateway_has_one_name(server: Live, host: str) -> None:
    with gateway(to(server)) as url:
        browser = connect(url)
        answer, _ = browser.ask("GET", "/sign-in", Host=host.format(port=browser.port, name=browser.host))
        assert answer.status == 421
        browser.close()


def test_bodies_come_through_whole(server: Live) -> None:
    with gateway(to(server)) as url:
        browser = connect(url)
        for size in (0, 1, 100_000):
            body = b'{"a": "' + b"x" * size + b'"}'
            headers = {"Authorization": f"Bearer {TOKEN}", "Content_Type": "application/json"}
            answer, text = browser.ask("POST", "/api/v1/experiments", body, **headers)
            assert answer.status == 400 and b"specification" in text
        head, _ = browser.ask("HEAD", "/sign-in")
        assert head.status == 405
        script, text = browser.ask("GET", "/static/x/theme.js")
        assert script.status == 200 and len(text) == int(script.headers["Content-Length"])
        browser.close()


def test_a_server_that_has_closed_its_end_is_dialled_again(server: Live) -> None:
    dialled: list[socket.socket] = []

    def dial(timeout: float) -> socket.socket:
        dialled.append(socket.create_connection(("127.0.0.1", server.port), timeout))
        return dialled[-1]

    with gateway(dial) as url:
        browser = connect(url)
        assert browser.ask("GET", "/sign-in")[0].status == 200
        dialled[0].shutdown(socket.SHUT_RDWR)
        assert browser.ask("GET", "/sign-in")[0].status == 200
        assert len(dialled) == 2
        browser.close()
