"""How an API server is reached, and as whom."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import urllib3  # costs a tenth of a second, which who asks nothing shall not pay

_KEPT_ALIVE = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)
_OBJECT = re.compile(r"(?:<[^>]*>|\w+\(host=[^)]*\)): (?:Failed to establish a new connection: )?")
"""how urllib3 begins what it says: with its own object, in older versions and in newer ones"""


@dataclass(frozen=True)
class Endpoint:
    """One API server, as one account. Asks nothing itself; for many threads."""

    host: str
    """`https://lab:6443`, maybe with a path; without a slash at the end"""
    login: Callable[[], Mapping[str, str]]
    """the headers that say who asks, now: a token that has expired is got anew. Denied where that fails."""
    tls: ssl.SSLContext | None = None
    """None: plain HTTP"""
    server_name: str | None = None
    """whom the certificate has to name; None: the host"""
    proxy: str | None = None
    """`http://[user:password@]host:port`; None: the way is direct"""
    remedy: str = "log in to the cluster again; `kubectl get pods` has to work there"
    """what helps whom it does not know"""

    def pool(self, connections: int = 4) -> urllib3.PoolManager:
        """A pool of connections that keeps so many."""
        import urllib3

        options: dict[str, Any] = {"maxsize": connections}
        if self.tls is not None:
            options["ssl_context"] = self.tls
            if self.tls.verify_mode == ssl.CERT_NONE:  # its user has said so in the kubeconfig
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if self.server_name:
            options["server_hostname"] = self.server_name
        if self.proxy is None:
            return urllib3.PoolManager(**options)
        return urllib3.ProxyManager(self.proxy, proxy_headers=_who(self.proxy), **options)

    def connect(self, timeout: float) -> socket.socket:
        """A connection to it, for what a pool does not do: a websocket. OSError."""
        parts = urlsplit(self.host)
        name, port = str(parts.hostname), parts.port or (80 if self.tls is None else 443)
        opened = self._through(name, port, timeout) if self.proxy else socket.create_connection((name, port), timeout)
        try:
            for option in _KEPT_ALIVE:
                opened.setsockopt(*option)
            if self.tls is None:
                return opened
            return self.tls.wrap_socket(opened, server_hostname=self.server_name or name)
        except BaseException:
            opened.close()
            raise

    def _through(self, name: str, port: int, timeout: float) -> socket.socket:
        proxy = urlsplit(str(self.proxy))
        asking = http.client.HTTPConnection(str(proxy.hostname), proxy.port or 80, timeout=timeout)
        asking.set_tunnel(name, port, _who(str(self.proxy)))
        try:
            asking.connect()
        except BaseException:
            asking.close()
            raise
        opened: socket.socket = asking.sock
        return opened


def cause(exc: BaseException) -> str:
    """Why nothing was heard of an API server, in words."""
    inner = getattr(exc, "reason", None) or exc
    text = str(inner) or type(inner).__name__
    said = _OBJECT.match(text)
    return text[said.end() :] if said else text


def _who(proxy: str) -> dict[str, str]:
    """The header with the name and the password that stand in a proxy's address."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
