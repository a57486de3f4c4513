"""Address, credentials and connections of an API server."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import urllib3  # imported on demand: takes a tenth of a second

_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)
_OBJECT_PREFIX = re.compile(r"(?:<[^>]*>|\w+\(host=[^)]*\)): (?:Failed to establish a new connection: )?")
"""prefix of urllib3's messages: its own object, in older and newer versions"""


@dataclass(frozen=True)
class Endpoint:
    """An API server, with the account to use. Sends nothing itself; thread-safe."""

    host: str
    """`https://lab:6443`, optionally with a path; no trailing slash"""
    login: Callable[[], Mapping[str, str]]
    """returns current authentication headers, and renews an expired token; raises Denied if that fails"""
    tls: ssl.SSLContext | None = None
    """None: plain HTTP"""
    server_name: str | None = None
    """name that the certificate must have; None: the host"""
    proxy: str | None = None
    """`http://[user:password@]host:port`; None: direct connection"""
    remedy: str = "log in to the cluster again; `kubectl get pods` has to work there"
    """hint for users whom the API server does not know"""

    def pool(self, connections: int = 4) -> urllib3.PoolManager:
        """Return a connection pool that keeps `connections` open."""
        import urllib3

        options: dict[str, Any] = {"maxsize": connections}
        if self.tls is not None:
            options["ssl_context"] = self.tls
            if self.tls.verify_mode == ssl.CERT_NONE:  # as the user's kubeconfig demands
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if self.server_name:
            options["server_hostname"] = self.server_name
        if self.proxy is None:
            return urllib3.PoolManager(**options)
        return urllib3.ProxyManager(self.proxy, proxy_headers=_proxy_login(self.proxy), **options)

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection that a pool cannot provide, for a websocket. Raises OSError."""
        parts = urlsplit(self.host)
        name, port = str(parts.hostname), parts.port or (80 if self.tls is None else 443)
        address = (name, port)
        with ExitStack() as on_error:
            connection = on_error.enter_context(
                self._through_proxy(*address, timeout) if self.proxy else socket.create_connection(address, timeout)
            )
            for option in _SOCKET_OPTIONS:
                connection.setsockopt(*option)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_hostname=self.server_name or name)
            on_error.pop_all()
        return connection

    def _through_proxy(self, name: str, port: int, timeout: float) -> socket.socket:
        proxy = urlsplit(str(self.proxy))
        tunnel = http.client.HTTPConnection(str(proxy.hostname), proxy.port or 80, timeout=timeout)
        tunnel.set_tunnel(name, port, _proxy_login(str(self.proxy)))
        with ExitStack() as on_error:
            on_error.callback(tunnel.close)
            tunnel.connect()
            on_error.pop_all()
        connection: socket.socket = tunnel.sock
        return connection


def cause(exc: BaseException) -> str:
    """Return the reason of a connection error, for messages."""
    innermost = getattr(exc, "reason", None) or exc
    text = str(innermost) or type(innermost).__name__
    prefix = _OBJECT_PREFIX.match(text)
    return text[prefix.end() :] if prefix else text


def _proxy_login(proxy: str) -> dict[str, str]:
    """Return the header with user name and password of a proxy's URL."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
