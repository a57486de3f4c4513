"""Access control by the operating system user at the other end of a connection, for embedded servers.

An embedded server belongs to one user, but all users of the machine can connect to a loopback address. Commands and
workers on this machine use a Unix socket that only its user can open; the TCP port is for browsers, for the reports of
trials, and for workers in containers.
"""

from __future__ import annotations

import os
from asyncio import BaseTransport
from socket import AF_UNIX, socket
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestune.errors import Denied
from orchestune.server.access import API
from orchestune.server.context import Context
from orchestune.server.cookies import header
from orchestune.system.peers import NoTable, UnknownPeer, is_loopback, is_this_user

STATE = "peer"
"""key of a connection's `PeerUser` in the state of its requests"""
FOR_WORKERS = "for_workers"
"""key in the state of a listener that serves workers only"""
OF_ONE_USER = "of_one_user"
"""key in the state of all listeners: true if the server is embedded"""
_LOOKUPS = CapacityLimiter(1)  # on some systems each takes milliseconds, and another user may cause thousands


class PeerUser:
    """The other end of one connection. Its user is looked up once, with the first request."""

    def __init__(self, transport: BaseTransport, *, for_workers: bool) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self.is_unix = self._socket is not None and self._socket.family == AF_UNIX
        self._is_owner: bool | None = None
        if self.is_unix or for_workers:
            self._is_owner = self.is_unix

    async def is_owner(self) -> bool:
        """Return True if the connection comes from the server's own user or root, or from another machine.

        The setting `host` allows other machines; tokens decide about their access.
        """
        if self._is_owner is None:
            if self._socket is None or self._transport.is_closing():
                return False  # its descriptor may belong to another connection by now
            with socket(fileno=os.dup(self._socket.fileno())) as connection:
                self._is_owner = await to_thread.run_sync(self._look_up, connection, limiter=_LOOKUPS)
        return self._is_owner

    def _look_up(self, connection: socket) -> bool:
        try:
            return is_this_user(connection)
        except UnknownPeer:
            # A client that closes its end early is unknown too. It may have bound another address of this machine.
            ends = (self._transport.get_extra_info(name) for name in ("peername", "sockname"))
            return all(isinstance(end, tuple) and not is_loopback(end[0]) for end in ends)
        except NoTable:
            return True


def peer_of(scope: Scope, context: Context) -> PeerUser | None:
    """Return the other end of the request's connection; None if the server is not embedded."""
    peer: PeerUser | None = scope["state"].get(STATE) if context.home == "embedded" else None
    return peer


def direct_peer_of(scope: Scope, context: Context) -> PeerUser | None:
    """Return the other end of the connection of a process that called the server's own address.

    Returns None if a proxy or a port mapping may be between them, whose user says nothing about the caller.
    """
    peer: PeerUser | None = scope["state"].get(STATE)
    if context.home == "embedded":
        return peer
    own, listening = urlsplit(context.core.url), scope.get("server")
    port = own.port or (443 if own.scheme == "https" else 80)
    is_direct = not context.proxies and scope["scheme"] == own.scheme and listening is not None and listening[1] == port
    return peer if is_direct else None


class OtherUser(Denied):
    """The request is from another user of this machine. Its connection is closed after the response.

    So a few requests of theirs are between two of the owner, however many connections they open.
    """


class PeerCheck:
    """The middleware that refuses other users, except for calls with a worker token and reports with a signed URL.

    Containers in the host network connect as the user of their image, Slurm jobs from other machines. The report route
    itself refuses other users' reports for trials that run as the server's user.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = peer_of(scope, self.context) if scope["type"] == "http" else None
        if not (peer is None or peer.is_unix or _is_for_workers(scope) or await peer.is_owner()):
            raise OtherUser(
                "this server is for the user who started it", "start a server for several users: see --host"
            )
        await self.app(scope, receive, send)


def _is_for_workers(scope: Scope) -> bool:
    path: str = scope["path"]
    if path == f"{API}proof" or path.startswith(f"{API}report/"):
        return True
    by_worker = header(scope, b"authorization").startswith("Bearer w.")
    return by_worker and path.startswith((f"{API}workers/", f"{API}bundles/"))
