"""Where the server is: the hosted one that the environment names, or the embedded one of this user."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from orchestune.errors import UsageError

Resolve = Callable[[], tuple[str, str]]
"""Gives (address, token). Asked again after a broken connection: an embedded server may come back on another port."""


def resolver(environ: Mapping[str, str] = os.environ, *, start: bool = True) -> Resolve:
    """`ORCHESTUNE_SERVER` with `ORCHESTUNE_TOKEN`; without it the embedded server, started where `start` says so.

    UsageError where the address is none. Calling the result may raise Unreachable.
    """
    address = environ.get("ORCHESTUNE_SERVER", "").strip().rstrip("/")
    if not address:
        return lambda: _embedded(start, environ)
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"ORCHESTUNE_SERVER is {address!r}, which is no address of a server",
            "write it like https://orchestune.example.org, or unset it to use the server of this machine",
        )
    token = environ.get("ORCHESTUNE_TOKEN", "").strip()
    return lambda: (address, token)


def _embedded(start: bool, environ: Mapping[str, str]) -> tuple[str, str]:
    from orchestune.client import embedded  # a hosted server needs none of it

    return embedded.connect(start=start, environ=environ)
