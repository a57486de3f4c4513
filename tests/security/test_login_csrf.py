"""Attack: another site sends a browser to a sign-in link, or claims an origin like that of the server's own pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.types import Scope

from orchestune.server import cookies
from tests.contract.world import CoreWorld
from tests.security.target import Target
from tests.unit.server.harness import live


@pytest.fixture
def target(world: CoreWorld) -> Iterator[Target]:
    with live(world.core) as server:
        yield Target(world, server)


def link(target: Target, name: str) -> str:
    path: str = target.server.ask("POST", "/api/v1/sign-in", token=target.token(name, "viewer")).json()["path"]
    return path


@pytest.mark.parametrize(("site", "is_replaced"), [("cross-site", False), (None, False), ("none", True)])
def test_link_of_another_site_does_not_replace_a_session(target: Target, site: str | None, is_replaced: bool) -> None:
    first = target.server.ask("GET", link(target, "ada"), token=None)
    headers = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    headers |= {"Sec-Fetch-Site": site} if site else {}
    reply = target.server.ask("GET", link(target, "mallory"), token=None, headers=headers)
    assert reply.status == 303 and reply.headers["location"] == "/experiments"
    assert ("set-cookie" in reply.headers) is is_replaced


def test_link_lets_in_a_browser_whose_session_is_over(target: Target) -> None:
    name = target.server.ask("GET", link(target, "ada"), token=None).headers["set-cookie"].partition("=")[0]
    headers = {"Cookie": f"{name}=s.over", "Sec-Fetch-Site": "cross-site"}
    assert "set-cookie" in target.server.ask("GET", link(target, "ada"), token=None, headers=headers).headers


@pytest.mark.parametrize(
    ("origin", "scheme", "is_ours"),
    [
        ("http://a:1", "http", True),
        ("https://a:1", "http", True),
        ("ftp://a:1", "http", False),
        ("http://a:1", "https", False),
        ("https://a:1", "https", True),
        ("a:1", "http", False),
    ],
)
def test_origin_of_our_pages_has_our_scheme(origin: str, scheme: str, is_ours: bool) -> None:
    """With TLS at a proxy the server itself may see `http`."""
    scope: Scope = {"scheme": scheme, "headers": [(b"host", b"a:1"), (b"origin", origin.encode())]}
    assert cookies.from_our_pages(scope, "http://b") is is_ours
