"""Attack: a request whose headers arrived before its token was revoked, and whose body is complete only afterwards."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest

from orchestune.server import access
from orchestune.server.context import Context
from orchestune.services.access.grant_access import revoke_token
from tests.contract.world import CoreWorld
from tests.security.target import OWNER, SPECIFICATION, Target
from tests.security.test_crowding import begin
from tests.unit.server.harness import live, until


@pytest.fixture
def target(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setattr(access, "SLOW_SECONDS", 0.0)
    with live(world.core) as server:
        yield Target(world, server)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/experiments", json.dumps({"specification": SPECIFICATION}).encode()),
        ("PUT", f"/api/v1/bundles/{'0' * 64}", b"bundle"),
    ],
)
def test_revoked_token_carries_out_nothing_once_its_body_is_complete(
    target: Target, method: str, path: str, body: bytes
) -> None:
    """A body sent at 1 KiB/s created an experiment 68 minutes after the revocation."""
    server, token = target.server, target.token("leaver", "editor")
    with closing(begin(server, method, path, body[:-1], token)) as client:
        until(lambda: server.context.callers.get(token), "the caller is authenticated")
        (grant,) = server.ask("GET", "/api/v1/tokens", token=OWNER).json()
        assert server.ask("DELETE", f"/api/v1/tokens/{grant['id']}", token=OWNER).status in (200, 204)
        client.sendall(body[-1:])
        assert client.recv(12) == b"HTTP/1.1 401"
    assert server.ask("GET", "/api/v1/experiments", token=OWNER).json()["items"] == []


def test_slow_body_of_a_valid_token_is_accepted(target: Target) -> None:
    server, token = target.server, target.token("eve", "editor")
    body = json.dumps({"specification": SPECIFICATION}).encode()
    with closing(begin(server, "POST", "/api/v1/experiments", body[:-1], token)) as client:
        until(lambda: server.context.callers.get(token), "the caller is authenticated")
        client.sendall(body[-1:])
        assert client.recv(12) == b"HTTP/1.1 201"


def test_revoked_token_carries_out_nothing_once_its_turn_has_come(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: an editor queues many slow requests, which would run for a while after the revocation."""
    server, token, its_turn = target.server, target.token("leaver", "editor"), threading.Event()

    @asynccontextmanager
    async def turn(self: Context) -> AsyncIterator[None]:
        while not its_turn.is_set():
            await asyncio.sleep(0.01)
        yield

    body = json.dumps({"specification": SPECIFICATION}).encode()
    (grant,) = server.ask("GET", "/api/v1/tokens", token=OWNER).json()
    with monkeypatch.context() as queue:
        queue.setattr(Context, "cold_turn", turn)
        with closing(begin(server, "POST", "/api/v1/experiments", body, token)) as client:
            until(lambda: server.context.callers.get(token), "the caller is authenticated")
            revoke_token(target.world.core, grant["id"])
            server.context.callers.clear()
            client.sendall(b" ")
            its_turn.set()
            assert client.recv(12) == b"HTTP/1.1 401"
    assert server.ask("GET", "/api/v1/experiments", token=OWNER).json()["items"] == []
