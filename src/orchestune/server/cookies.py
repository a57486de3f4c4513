"""The cookie that a browser's session lives in, and whether a browser sends a request on our pages' behalf."""

from __future__ import annotations

from starlette.requests import cookie_parser
from starlette.types import Scope

SAFE = ("GET", "HEAD", "OPTIONS")


def header(scope: Scope, wanted: bytes) -> str:
    """The value of a header (`wanted` in lower case); empty where there is none."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def host_name(scope: Scope) -> str:
    """Return the name by which the client reaches the server, in lower case and without the port."""
    host = header(scope, b"host").lower()
    name, _, port = host.rpartition(":")
    return name if port.isdecimal() else host


def name(scope: Scope) -> str:
    """Browsers keep one set of cookies for all ports of a host, on which several servers may be: one name for each."""
    port = header(scope, b"host").rpartition(":")[2]
    return f"orchestune-{port}" if port.isdecimal() else "orchestune"


def session_token(scope: Scope) -> str:
    """What the browser shows; empty where it shows nothing. Cookies of others on this host may hold anything."""
    return cookie_parser(header(scope, b"cookie")).get(name(scope), "")


def from_our_pages(scope: Scope, url: str) -> bool:
    """Whether the page that sends this is one of this server's, by what browsers alone can say. `url`: the server's."""
    site = header(scope, b"sec-fetch-site")
    if site:
        return site == "same-origin"
    origin, host = header(scope, b"origin"), header(scope, b"host")
    return bool(origin) and (origin == url or (bool(host) and origin.partition("://")[2] == host))
