"""Resolution of the server's address: a named cluster, the hosted server of the environment, or the embedded server."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestune.client.clusters import BUILT_IN, Clusters, ConnectedCluster
from orchestune.client.local.home import state_folder, state_path
from orchestune.client.local.launch_context import owner
from orchestune.client.logins import Logins
from orchestune.errors import UsageError
from orchestune.system import local_socket


class ServerAccess(NamedTuple):
    """Parameters of a connection to a server."""

    url: str
    token: str
    user: str = ""
    """the caller's own name, needed if several people may share the token"""
    dial: Callable[[float], socket.socket] | None = None
    """connects, within a timeout in seconds, to a server that is not reachable at `url`: by Unix socket or tunnel"""
    name: str = ""
    """the server's name in messages; empty: its address"""


Resolve = Callable[[], ServerAccess]
"""Called again after a broken connection: a server may restart on another port, a token may have been renewed."""


@dataclass(frozen=True)
class ServerPlace:
    """A server to use and the way to it, before any request is sent. Variables call it `place`."""

    cluster: ConnectedCluster | None
    """None: the server in ORCHESTUNE_SERVER"""
    resolve: Resolve

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.cluster.name if self.cluster else "ORCHESTUNE_SERVER"

    @property
    def sends_caller_name(self) -> bool:
        """True if each request carries the caller's name, which the server accepts or ignores."""
        return self.cluster is None or self.cluster.provider == "hosted" or bool(self.cluster.user)

    @property
    def embedded(self) -> bool:
        """True for the embedded server of this machine."""
        return self.cluster is not None and self.cluster.embedded


def named_server(environ: Mapping[str, str]) -> str:
    """Return the address in `ORCHESTUNE_SERVER`; empty if unset."""
    return environ.get("ORCHESTUNE_SERVER", "").strip().rstrip("/")


def named_token(environ: Mapping[str, str]) -> str:
    """Return the token in `ORCHESTUNE_TOKEN`; empty if unset. Raises UsageError as `checked` does."""
    return checked(environ.get("ORCHESTUNE_TOKEN", "").strip(), "ORCHESTUNE_TOKEN")


def checked(token: str, holder: str) -> str:
    """Return the token, which `holder` supplied. Raises UsageError, without the token, if it is invalid in a header."""
    if all(" " <= char <= "\xff" for char in token):  # Latin-1, as http.client writes it
        return token
    raise UsageError(
        f"invalid token in {holder}: it contains a line break or another character that no token has",
        "copy the token again",
    )


def resolver(environ: Mapping[str, str] = os.environ, cluster: str | None = None) -> Resolve:
    """Return a function that resolves the server of `place(...)`. Calling it may raise Unreachable or Denied."""
    return place(environ, cluster).resolve


def place(
    environ: Mapping[str, str] = os.environ,
    cluster: str | None = None,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> ServerPlace:
    """Return the server to use: of the cluster `cluster`, of the environment, or of the default cluster.

    The environment counts if `cluster` is None: `ORCHESTUNE_SERVER` (with `ORCHESTUNE_TOKEN`, or the sign-in of
    `orchestune login`), then `ORCHESTUNE_CLUSTER`. An embedded server is started on demand; `note` receives
    messages about that.

    Sends no request. Raises UsageError if the address is invalid, NotFound if there is no such cluster.
    """
    address = named_server(environ)
    if address and not cluster:
        check_address(address, "ORCHESTUNE_SERVER", ", or unset it to use the server of this machine")
        token, user = named_token(environ), owner(environ)
        return ServerPlace(None, lambda: ServerAccess(address, token or _login_token(address, environ), user))
    return _of(_chosen(environ, cluster), environ, note)


def _chosen(environ: Mapping[str, str], name: str | None) -> ConnectedCluster:
    name = name or environ.get("ORCHESTUNE_CLUSTER", "").strip()
    for cluster in BUILT_IN:
        if name == cluster.name:
            return cluster
    clusters = Clusters(state_path(environ))
    return clusters.get(name or clusters.default)


def _of(cluster: ConnectedCluster, environ: Mapping[str, str], note: Callable[[str], None]) -> ServerPlace:
    if cluster.embedded:
        return ServerPlace(cluster, lambda: _embedded(environ, note))
    if cluster.provider == "hosted":
        user = cluster.user or owner(environ)
        token = checked(cluster.token, f"the registration of cluster '{cluster.name}'")
        name = f"the server of cluster '{cluster.name}'"
        return ServerPlace(
            cluster,
            lambda: ServerAccess(cluster.url, token or _login_token(cluster.url, environ), user, name=name),
        )
    return ServerPlace(cluster, _through(cluster, environ))


def _login_token(url: str, environ: Mapping[str, str]) -> str:
    """Return the token of this user's sign-in at a server; empty if there is none."""
    login = Logins(state_path(environ)).find(url)
    return login.token if login else ""


def _through(cluster: ConnectedCluster, environ: Mapping[str, str]) -> Resolve:
    tunnels = list[Resolve]()  # one tunnel for all connections of this process

    def resolve() -> ServerAccess:
        if not tunnels:
            from orchestune.client.tunnels.tunnel import (
                Tunnel,  # imported on demand: only users of a cluster need TLS and more
            )

            tunnels.append(Tunnel(cluster, environ, remember=Clusters(state_folder(environ)).add).resolve)
        return tunnels[0]()

    return resolve


def _embedded(environ: Mapping[str, str], note: Callable[[str], None]) -> ServerAccess:
    from orchestune.client.local import embedded  # not needed for a remote server

    server = embedded.connect(environ=environ, note=note)
    dial = partial(local_socket.connect, server.socket) if server.socket else None
    return ServerAccess(server.url, server.token, dial=dial)


def check_address(address: str, holder: str, otherwise: str = "") -> None:
    """Raise UsageError unless requests can be sent to the address: a host with optional port and path.

    Messages contain no password.

    `holder` is the setting that has the address, `otherwise` an alternative for the hint.
    """
    is_valid = _is_address(address)
    if "@" in (urlsplit(address).netloc if is_valid else address):
        raise UsageError(
            f"user or password in {holder} (expected an address without them)", "put the token into ORCHESTUNE_TOKEN"
        )
    if not is_valid:
        hint = f"write it like https://orchestune.example.org{otherwise}"
        raise UsageError(f"invalid server address in {holder}: {address!r}", hint)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")  # as DNS resolves it
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0 and not _UNSENT.search(text)
    except ValueError:  # an unclosed bracket, or a port or label out of range
        return False


_UNSENT = re.compile(r"[\x00-\x20\x7f]|://[^/]*/.*[^\x00-\x7f]")
"""characters that no request can contain: white space, or non-ASCII characters in the path"""
