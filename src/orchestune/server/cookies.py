"""The session cookie of browsers, and detection of cross-site requests."""

from __future__ import annotations

from starlette.requests import cookie_parser
from starlette.types import Scope

SAFE = ("GET", "HEAD", "OPTIONS")


def header(scope: Scope, header_name: bytes) -> str:
    """Return the value of a header (`header_name` in lower case); empty if absent."""
    return next((value.decode("latin-1") for each, value in scope["headers"] if each == header_name), "")


def host_name(scope: Scope) -> str:
    """Return the host name from the `Host` header, in lower case and without the port."""
    host = header(scope, b"host").lower()
    name, _, port = host.rpartition(":")
    return name if port.isdecimal() else host


def name(scope: Scope) -> str:
    """Return the name of the session cookie.

    It contains the port: browsers share cookies between all ports of a host, on which several servers may listen.
    """
    port = header(scope, b"host").rpartition(":")[2]
    return f"orchestune-{port}" if port.isdecimal() else "orchestune"


def session_token(scope: Scope) -> str:
    """Return the session token; empty if absent. Cookies of other programs on this host may have any content."""
    return cookie_parser(header(scope, b"cookie")).get(name(scope), "")


def sign_in_name(scope: Scope, state: str) -> str:
    """Return the name of the cookie of one sign-in at the identity provider: a browser may begin several."""
    return f"{name(scope)}-sign-in-{state[:8]}"


def sign_in_cookie(scope: Scope, state: str) -> str:
    """Return the cookie of a sign-in at the identity provider; empty if absent."""
    return cookie_parser(header(scope, b"cookie")).get(sign_in_name(scope, state), "")


def from_our_pages(scope: Scope, url: str) -> bool:
    """Return True if a page of this server sent the request, by headers that only browsers can set.

    `url`: the URL of this server.
    """
    site = header(scope, b"sec-fetch-site")
    if site:
        return site == "same-origin"
    origin, host = header(scope, b"origin"), header(scope, b"host")
    schemes = ("https",) if "https" in (scope.get("scheme"), url.partition(":")[0]) else ("http", "https")
    return bool(origin) and (origin == url or (bool(host) and origin in [f"{scheme}://{host}" for scheme in schemes]))


def is_followed_link(scope: Scope) -> bool:
    """Return True if another site may have sent the browser here. False if the user or our own page opened the address.

    Browsers send the header only over TLS and to the own machine; without it, another site may have.
    """
    return header(scope, b"sec-fetch-site") not in ("none", "same-origin")
