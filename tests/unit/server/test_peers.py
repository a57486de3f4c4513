"""The ports of an embedded server are for its own user, and for workers with their token."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestune.errors import Denied
from orchestune.server import peers
from orchestune.server.peers import STATE, PeerCheck, PeerUser
from orchestune.system.peers import NoTable, UnknownPeer

_OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def close_sockets() -> Iterator[None]:
    """Close those that `peer` has opened."""
    yield
    while _OPEN:
        _OPEN.pop().close()


def peer(
    host: str = "127.0.0.1",
    own: str = "127.0.0.1",
    *,
    for_workers: bool = False,
    family: int = socket.AF_INET,
    is_closing: bool = False,
) -> PeerUser:
    """The end of a connection from `host` to the server's address `own`."""
    _OPEN.append(socket.socket(family))
    ends = {"peername": (host, 4000), "sockname": (own, 80)}
    extra_info = {"socket": _OPEN[-1], **(dict.fromkeys(ends, "") if family == socket.AF_UNIX else ends)}
    transport = SimpleNamespace(get_extra_info=extra_info.get, is_closing=lambda: is_closing)
    return PeerUser(cast(Any, transport), for_workers=for_workers)


def listed(monkeypatch: pytest.MonkeyPatch, outcome: bool | Exception) -> list[int]:
    """The kernel says that; the descriptors of what is looked up."""
    descriptors: list[int] = []

    def look(connection: socket.socket) -> bool:
        descriptors.append(connection.fileno())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(peers, "is_this_user", look)
    return descriptors


@pytest.mark.parametrize(
    ("outcome", "host", "own", "expected"),
    [(True, "127.0.0.1", "127.0.0.1", True), (False, "127.0.0.1", "127.0.0.1", False),
     (False, "10.0.0.1", "10.0.0.1", False), (UnknownPeer(), "127.0.0.1", "127.0.0.1", False),
     (UnknownPeer(), "10.0.0.9", "10.0.0.1", True), (UnknownPeer(), "10.0.0.1", "127.0.0.1", False),
     (UnknownPeer(), "10.0.0.1", "::1", False), (NoTable(), "127.0.0.1", "127.0.0.1", True)],
)  # fmt: skip
def test_the_user_at_the_other_end_decides_once_for_a_connection(
    monkeypatch: pytest.MonkeyPatch, outcome: bool | Exception, host: str, own: str, expected: bool
) -> None:
    descriptors, connection = listed(monkeypatch, outcome), peer(host, own)

    async def twice() -> list[bool]:
        return [await connection.is_owner() for _ in range(2)]

    assert asyncio.run(twice()) == [expected] * 2
    assert len(descriptors) == 1


def test_the_user_of_a_closed_connection_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor may be that of a later connection."""
    descriptors, connection = listed(monkeypatch, True), peer(is_closing=True)
    assert not asyncio.run(connection.is_owner())
    assert descriptors == []


def test_a_unix_socket_is_the_owners_and_a_listener_for_workers_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = listed(monkeypatch, False)
    assert asyncio.run(peer(family=socket.AF_UNIX).is_owner())
    assert not asyncio.run(peer("10.0.0.9", for_workers=True).is_owner())
    assert descriptors == []


def passes(home: str, path: str, token: str = "", connection: PeerUser | None = None) -> bool:
    """Return True if a request of another user reaches the application."""
    calls: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])

    scope = {"type": "http", "path": path, "headers": [(b"authorization", token.encode())],
             "state": {STATE: connection or peer(for_workers=True)}}  # fmt: skip
    try:
        asyncio.run(PeerCheck(app, cast(Any, SimpleNamespace(home=home)))(scope, cast(Any, None), cast(Any, None)))
    except Denied:
        return False
    return calls == [path]


@pytest.mark.parametrize(
    ("path", "token", "expected"),
    [
        ("/api/v1/proof", "", True),
        ("/api/v1/report/a/s", "", True),
        ("/api/v1/workers/w/work", "Bearer w.a.b.c", True),
        ("/api/v1/bundles/d", "Bearer w.a.b.c", True),
        ("/api/v1/workers/w/work", "Bearer of-an-owner", False),
        ("/api/v1/workers/w/work", "", False),
        ("/api/v1/experiments", "Bearer w.a.b.c", False),
        ("/api/v1/experiments", "Bearer of-an-owner", False),
        ("/", "", False),
        ("/healthz", "", False),
        ("/sign-in", "", False),
    ],
)
def test_other_users_get_what_workers_and_reports_need(path: str, token: str, expected: bool) -> None:
    assert passes("embedded", path, token) is expected
    assert passes("hosted", path, token)  # its tokens decide alone
    assert passes("embedded", path, token, peer(family=socket.AF_UNIX))
