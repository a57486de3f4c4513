"""The client of an API server: lists, watches, websockets, and one login for all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.errors import Denied, OrchestuneError, TemporaryError, Unreachable
from orchestune.kubeapi import client
from orchestune.kubeapi.client import ApiServer, RequestPolicy
from orchestune.kubeapi.endpoint import Endpoint
from orchestune.kubeapi.errors import ApiCaller, Unauthenticated, WatchExpired
from orchestune.kubeapi.watch_stream import split_lines
from tests.testbeds.serving import Handler, Listening, serving

USER = ApiCaller("you", lambda hint: Denied("log in again", hint), lambda verb, resource: "ask", "cluster 'lab'")
SERVER = ApiCaller(
    "the server", lambda hint: Unauthenticated("unknown"), lambda verb, resource: "grant", is_retrying=True
)


class Server(Listening):
    """An API server with one token, 1234 pods, and watches that send `events`."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(_Request, port)
        self.token = "first"
        self.events: list[bytes] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections: set[tuple[str, int]] = set()
        self.location = ""
        """target of redirects"""


class _Request(Handler):
    server: Server

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        self.server.requests.append((path, query))
        self.server.connections.add(self.client_address)
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.send_json(401, {"message": "Unauthorized"})
        elif path == "/elsewhere":
            self.send(307, headers={"Location": self.server.location})
        elif query.get("watch"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in self.server.events:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")
        else:
            first, limit = int(query.get("continue", 0)), int(query["limit"])
            metadata = {"resourceVersion": "7"} | ({"continue": str(first + limit)} if first + limit < 1234 else {})
            items = [{"metadata": {"name": str(index)}} for index in range(first, min(first + limit, 1234))]
            self.send_json(200, {"items": items, "metadata": metadata})


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


class Login:
    """Credentials that are read from a variable, as from a kubeconfig."""

    def __init__(self, server: Server, token: str = "first") -> None:
        self.token, self.loads = token, 0
        self._server = server

    def load(self) -> Endpoint:
        self.loads += 1
        token = self.token
        return Endpoint(self._server.url, lambda: {"Authorization": f"Bearer {token}"}, remedy="kubectl login")


def pods(api: ApiServer) -> list[str]:
    return [item["metadata"]["name"] for item in api.list_objects("/api/v1/pods", {"labelSelector": "a=b"})[0]]


def test_a_list_has_all_pages(server: Server) -> None:
    api = ApiServer(Login(server).load, USER)
    assert pods(api) == [str(index) for index in range(1234)]
    assert all(query["labelSelector"] == "a=b" for _, query in server.requests) and len(server.requests) == 13


def test_the_endpoint_is_loaded_at_the_first_request(server: Server) -> None:
    login = Login(server)
    api = ApiServer(login.load, USER)
    assert login.loads == 0
    api.open()
    pods(api)
    assert login.loads == 1


def test_a_users_rejected_first_login_is_forgotten_and_the_next_request_logs_in_again(server: Server) -> None:
    login = Login(server, "expired")
    api = ApiServer(login.load, USER)
    with pytest.raises(Denied, match="log in again") as caught:
        pods(api)
    assert (caught.value.hint, len(server.requests)) == ("kubectl login", 1)
    login.token = "first"
    assert len(pods(api)) == 1234
    assert login.loads == 2


@pytest.mark.parametrize("caller", [USER, SERVER])
def test_threads_with_an_expired_login_renew_it_once(server: Server, caller: ApiCaller) -> None:
    login = Login(server)
    api = ApiServer(login.load, caller, RequestPolicy(login_interval=60.0))
    pods(api)
    server.token = login.token = "second"
    with ThreadPoolExecutor(8) as pool:
        assert all(len(names) == 1234 for names in pool.map(lambda _: pods(api), range(8)))
    assert login.loads == 2


def test_another_login_that_is_rejected_too_ends_the_request(server: Server) -> None:
    login = Login(server)
    api = ApiServer(login.load, USER)
    pods(api)
    server.token = "second"
    requests = len(server.requests)
    with pytest.raises(Denied, match="log in again"):
        pods(api)
    assert (len(server.requests) - requests, login.loads) == (2, 2)


def test_a_connection_that_was_idle_for_too_long_is_not_reused(server: Server) -> None:
    for max_idle, connections in ((60.0, 1), (0.0, 13)):  # one for each page
        server.connections.clear()
        pods(ApiServer(Login(server).load, USER, RequestPolicy(max_idle=max_idle)))
        assert len(server.connections) == connections


def test_after_an_outage_requests_fail_at_once() -> None:
    with serving(Server()) as server:
        login = Login(server)
    api = ApiServer(login.load, SERVER, RequestPolicy(outage_pause=3600.0))
    with pytest.raises(Unreachable, match=f"the cluster's API server {server.url} cannot be reached: .*refused"):
        pods(api)
    with serving(Server(server.server_port)) as again:
        with pytest.raises(Unreachable, match="cannot be reached"):
            pods(api)
        assert again.requests == []


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "object": fields}).encode() + b"\n"


def watched(server: Server) -> list[tuple[str, dict[str, Any]]]:
    return list(ApiServer(Login(server).load, SERVER).watch("/api/v1/pods", {}, "5"))


def test_a_watch_yields_its_events_however_they_are_cut(server: Server) -> None:
    whole = event("ADDED", name="é") + b"\n" + event("BOOKMARK", version="9") + b'{"type": "ADDED", "obj'
    server.events = [whole[index : index + 1] for index in range(len(whole))]
    assert watched(server) == [("ADDED", {"name": "é"}), ("BOOKMARK", {"version": "9"})]
    _, query = server.requests[-1]
    assert (query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "5")


@pytest.mark.parametrize(
    ("sent", "error"),
    [(event("ERROR", code=410, message="too old"), WatchExpired), (b'{"type": \n', TemporaryError)],
)
def test_an_error_in_a_watch_is_translated(server: Server, sent: bytes, error: type[OrchestuneError]) -> None:
    server.events = [event("ADDED", name="a"), sent]
    stream = iter(ApiServer(Login(server).load, SERVER).watch("/api/v1/pods", {}, "5"))
    assert next(stream)[0] == "ADDED"
    with pytest.raises(error):
        next(stream)


@given(st.lists(st.binary(max_size=9)))
def test_lines_are_those_of_the_whole(blocks: list[bytes]) -> None:
    assert list(split_lines(blocks)) == b"".join(blocks).split(b"\n")[:-1]


def test_a_line_that_does_not_end_is_not_collected() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(17):
            yield bytes(1 << 20)
        raise AssertionError("more than its limit was read")

    with pytest.raises(ValueError, match="more than 16 MiB"):
        list(split_lines(endless()))


def test_a_response_larger_than_any_page_of_objects_is_not_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MAX_RESPONSE_BYTES", 1000)
    with pytest.raises(Unreachable, match="its response has more than"):
        pods(ApiServer(Login(server).load, USER))


@pytest.mark.parametrize(
    ("scheme", "ask"),
    [
        ("http", lambda api: api.call("GET", "/elsewhere")),
        ("http", lambda api: api.watch("/elsewhere", {}, "1")),
        ("ws", lambda api: api.websocket("/elsewhere", 10.0)),
    ],
    ids=["call", "watch", "websocket"],
)
def test_no_redirect_is_followed_with_the_login(
    server: Server, scheme: str, ask: Callable[[ApiServer], object]
) -> None:
    api = ApiServer(Login(server).load, USER)
    with serving(Server()) as stranger:
        server.location = f"{scheme}{stranger.url.removeprefix('http')}/"
        with pytest.raises(Unreachable):
            ask(api)
        assert stranger.requests == []


def test_a_websocket_renews_an_expired_login(server: Server) -> None:
    login = Login(server)
    api = ApiServer(login.load, USER)
    pods(api)
    server.token = login.token = "second"
    with pytest.raises(Unreachable):  # a list is no websocket
        api.websocket("/api/v1/pods?limit=1", 10.0)
    assert login.loads == 2


def test_the_command_line_does_not_load_what_only_clusters_need() -> None:
    code = "import orchestune.cli.main, orchestune.kubeapi.client, sys; print(' '.join(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(output.split()) & {"urllib3", "websocket", "requests", "yaml"}
