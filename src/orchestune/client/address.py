"""Where the server is: of the cluster that is named, the hosted one of the environment, or this user's embedded one."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestune.client.clusters import BUILT_IN, Cluster, Clusters
from orchestune.client.home import state_folder, state_path
from orchestune.client.launch import owner
from orchestune.errors import UsageError
from orchestune.system import local_socket


class Access(NamedTuple):
    """How one connection to a server is made."""

    url: str
    token: str
    user: str = ""
    """the caller's own name, where the token may be one that several people have"""
    dial: Callable[[float], socket.socket] | None = None
    """opens a connection, in so many seconds, to a server that `url` does not lead to: by a Unix socket or a tunnel"""
    name: str = ""
    """how messages call the server; empty: by its address"""


Resolve = Callable[[], Access]
"""Asked again after a broken connection: a server may come back on another port, a token may have been renewed."""


@dataclass(frozen=True)
class Place:
    """Which server is meant, and for what reason."""

    cluster: Cluster | None
    """None: the server that ORCHESTUNE_SERVER names"""
    resolve: Resolve

    @property
    def name(self) -> str:
        """As people know it."""
        return self.cluster.name if self.cluster else "ORCHESTUNE_SERVER"

    @property
    def told_who(self) -> bool:
        """Whether the caller's name travels with each request, and the server decides whether it takes that for it."""
        return self.cluster is None or self.cluster.provider == "hosted" or bool(self.cluster.user)

    @property
    def embedded(self) -> bool:
        """Whether it is the server of this machine."""
        return self.cluster is not None and self.cluster.embedded


def named_server(environ: Mapping[str, str]) -> str:
    """The address that `ORCHESTUNE_SERVER` names; empty where it names none."""
    return environ.get("ORCHESTUNE_SERVER", "").strip().rstrip("/")


def named_token(environ: Mapping[str, str]) -> str:
    """The token that `ORCHESTUNE_TOKEN` holds; empty where there is none. UsageError as `checked`."""
    return checked(environ.get("ORCHESTUNE_TOKEN", "").strip(), "ORCHESTUNE_TOKEN")


def checked(token: str, holder: str) -> str:
    """The token, which came from `holder`. UsageError, which never shows it, where it cannot travel in a header."""
    if all(" " <= char <= "\xff" for char in token):  # Latin-1, as http.client writes it
        return token
    raise UsageError(f"{holder} has a line's end or another character in it that no token has", "copy the token anew")


def resolver(environ: Mapping[str, str] = os.environ, cluster: str | None = None) -> Resolve:
    """How to reach the server of `place(...)`. Calling the result may raise Unreachable or Denied."""
    return place(environ, cluster).resolve


def place(
    environ: Mapping[str, str] = os.environ,
    cluster: str | None = None,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> Place:
    """The server of the cluster `cluster`; where none is named that of `ORCHESTUNE_SERVER` (with `ORCHESTUNE_TOKEN`),
    of `ORCHESTUNE_CLUSTER`, of the default cluster. An embedded server is started where none runs; `note` hears what is
    worth telling of that.

    UsageError where an address is none, NotFound where there is no such cluster. Nothing is asked yet.
    """
    address = named_server(environ)
    if address and not cluster:
        check_address(address, "ORCHESTUNE_SERVER", ", or unset it to use the server of this machine")
        access = Access(address, named_token(environ), owner(environ))
        return Place(None, lambda: access)
    return _of(_chosen(environ, cluster), environ, note)


def _chosen(environ: Mapping[str, str], name: str | None) -> Cluster:
    name = name or environ.get("ORCHESTUNE_CLUSTER", "").strip()
    for cluster in BUILT_IN:
        if name == cluster.name:
            return cluster
    clusters = Clusters(state_path(environ))
    return clusters.get(name or clusters.default)


def _of(cluster: Cluster, environ: Mapping[str, str], note: Callable[[str], None]) -> Place:
    if cluster.embedded:
        return Place(cluster, lambda: _embedded(environ, note))
    if cluster.provider == "hosted":
        user = cluster.user or owner(environ)
        token = checked(cluster.token, f"what is known of cluster '{cluster.name}'")
        access = Access(cluster.url, token, user, name=f"the server of cluster '{cluster.name}'")
        return Place(cluster, lambda: access)
    return Place(cluster, _through(cluster, environ))


def _through(cluster: Cluster, environ: Mapping[str, str]) -> Resolve:
    tunnels = list[Resolve]()  # one for all connections of this process

    def resolve() -> Access:
        if not tunnels:
            from orchestune.client.tunnel import Tunnel  # only who goes to a cluster pays for TLS and more

            tunnels.append(Tunnel(cluster, environ, remember=Clusters(state_folder(environ)).add).resolve)
        return tunnels[0]()

    return resolve


def _embedded(environ: Mapping[str, str], note: Callable[[str], None]) -> Access:
    from orchestune.client import embedded  # a server elsewhere needs none of it

    server = embedded.connect(environ=environ, note=note)
    dial = partial(local_socket.connect, server.socket) if server.socket else None
    return Access(server.url, server.token, dial=dial)


def check_address(address: str, holder: str, otherwise: str = "") -> None:
    """UsageError where no request can be sent there: to a host, perhaps with a port and a path. It shows no password.

    `holder` is what names it, `otherwise` what else may be done.
    """
    known = _is_address(address)
    if "@" in (urlsplit(address).netloc if known else address):
        raise UsageError(
            f"{holder} has a user or a password in it, which is not sent", "ORCHESTUNE_TOKEN has the token"
        )
    if not known:
        hint = f"write it like https://orchestune.example.org{otherwise}"
        raise UsageError(f"{holder} is {address!r}, which is no address of a server", hint)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")  # as it is looked up
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0 and not _UNSENT.search(text)
    except ValueError:  # a bracket that is left open, a port or a label beyond every number or length
        return False


_UNSENT = re.compile(r"[\x00-\x20\x7f]|://[^/]*/.*[^\x00-\x7f]")
"""no request can name it: white space, or other letters than those of ASCII in the path"""
