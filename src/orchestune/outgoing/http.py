"""An HTTP connection to an external server, which may be slow, broken or hostile."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from orchestune.errors import Unreachable
from orchestune.outgoing.destinations import AllowedDestinations, Destination, parse

SECONDS = 10.0
"""total timeout of a request, from connecting to the last byte of the response"""
_MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class HttpResponse:
    """A response. Redirects are not followed."""

    status: int
    headers: Mapping[str, str]
    """by lower-case name"""
    body: bytes
    """at most 1 MiB"""

    @property
    def good(self) -> bool:
        """True for a 2xx status."""
        return 200 <= self.status < 300


class HttpLink:
    """A connection to one URL; opened on first use, and again after it broke.

    For one thread. Bypasses proxies, because the addresses that a proxy can reach are not known here.
    """

    def __init__(self, url: str, reach: AllowedDestinations, seconds: float = SECONDS) -> None:
        self.target: Destination = parse(url)
        self._reach, self._seconds = reach, seconds
        self._connection: HTTPConnection | None = None

    def __enter__(self) -> HttpLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, method: str, path: str, body: bytes | None = None,
                headers: Mapping[str, str] | None = None) -> HttpResponse:  # fmt: skip
        """Send a request; retry once if a kept connection was closed meanwhile. Raises Unreachable and Denied."""
        is_fresh = self._connection is None
        try:
            return self._send(method, path, body, headers or {})
        except (OSError, HTTPException, ValueError, AttributeError) as exc:  # the last two: TLS socket was shut down
            self.close()
            if not is_fresh and not isinstance(exc, TimeoutError):
                return self.request(method, path, body, headers)
            reason = str(exc) or type(exc).__name__
            if isinstance(exc, TimeoutError):
                reason = f"timeout after {self._seconds:g} s"
            raise Unreachable(f"{self.target.host} did not answer: {reason}") from exc

    def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> HttpResponse:
        connection = self._connection or self._connect()
        self._connection = connection
        with _Deadline(connection.sock, self._seconds) as deadline:
            try:
                connection.request(method, path, body, dict(headers))
                with connection.getresponse() as response:
                    content = response.read(_MAX_BODY_BYTES)
                    is_complete = response.isclosed()
            except (OSError, HTTPException, ValueError, AttributeError) as exc:
                if deadline.is_expired:
                    raise TimeoutError from exc
                raise
        if deadline.is_expired:
            raise TimeoutError
        if not is_complete or connection.sock is None:
            self.close()  # part of the response is unread, or the server has closed the connection
        return HttpResponse(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _connect(self) -> HTTPConnection:
        """Connect to the first allowed address that answers; raise the error of the last one."""
        error: OSError = OSError("no address")
        for family, address in self._reach.addresses(self.target):
            raw = socket.socket(family, socket.SOCK_STREAM)
            raw.settimeout(self._seconds)
            try:
                with _Deadline(raw, self._seconds):
                    raw.connect(address)
                    return self._wrap(raw)
            except OSError as exc:
                raw.close()
                error = exc
        raise error

    def _wrap(self, raw: socket.socket) -> HTTPConnection:
        target = self.target
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not target.secure:
            plain = HTTPConnection(target.host, target.port)
            plain.sock, plain.auto_open = raw, 0  # must not resolve the name again
            return plain
        context = ssl.create_default_context()
        secure = HTTPSConnection(target.host, target.port, context=context)
        secure.sock, secure.auto_open = context.wrap_socket(raw, server_hostname=target.host), 0
        return secure


class _Deadline:
    """Shuts a connection down at a deadline: a socket's timeout applies to each read, and a server may send slowly."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True
        self.is_expired = False

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _shut_down(self) -> None:
        self.is_expired = True
        with suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # not TLS's own shutdown, which would send data first
