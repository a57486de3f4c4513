"""One persistent HTTP connection, with retries of idempotent requests and rediscovery of the server."""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from orchestune.client.address import Resolve, ServerAccess
from orchestune.client.connection import clock
from orchestune.client.connection.versions import HEADER
from orchestune.errors import (
    ERROR_HEADER,
    Denied,
    OrchestuneError,
    TemporaryError,
    Throttled,
    TooLarge,
    Unreachable,
    from_json,
)

_JITTER = random.Random()  # a separate generator: the global one belongs to the user's program and to tests

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""characters that headers contain unchanged; others in a name are percent-encoded"""

Body = bytes | Callable[[], BinaryIO] | None
"""A callable opens the body again for each try."""

_NOTICE_SECONDS = 3.0
"""seconds of failed tries before the user is notified"""


@dataclass(frozen=True)
class HttpReply:
    """A successful response with its complete body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body as JSON. Raises Unreachable if it is invalid (another program answers at that address)."""
        try:
            return json.loads(self.body)
        except ValueError as exc:
            raise _not_ours(self.status) from exc


class Transport:
    """Requests by one thread at a time. Temporary failures are retried for `retry_seconds`."""

    def __init__(
        self,
        resolve: Resolve,
        *,
        retry_seconds: float = 10.0,
        timeout: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_wait: Callable[[TemporaryError], None] = lambda error: None,
    ) -> None:
        """`on_wait` is called with the cause, once per request that takes long; not for clones."""
        self.resolve = resolve
        self.retry_seconds = retry_seconds
        self.timeout = timeout
        self._sleep, self._clock, self._on_wait = sleep, clock, on_wait
        self._connection: HTTPConnection | None = None
        self._process = 0
        """process that opened the connection; a fork would receive responses to its parent's requests"""
        self._response: HTTPResponse | None = None
        self._access, self._prefix = ServerAccess("", ""), ""
        self.version = ""
        """version of the server that answered last, if it reports one"""
        self.heard = float("-inf")
        """time of the last response, by the clock of this transport"""

    def clone(self, *, retry_seconds: float | None = None, timeout: float | None = None) -> Transport:
        """Return a transport to the same server with its own connection, for another thread or other timeouts."""
        return Transport(
            self.resolve,
            retry_seconds=self.retry_seconds if retry_seconds is None else retry_seconds,
            timeout=self.timeout if timeout is None else timeout,
            sleep=self._sleep,
            clock=self._clock,
        )

    def request(self, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None) -> HttpReply:
        """Send a request and return the response. Every method is retried: a POST carries an idempotency key.

        Raises the server's error, or Unreachable if no server answers in time.
        """
        fields = dict(headers or {})
        if method == "POST":
            fields.setdefault("Idempotency-Key", uuid.uuid4().hex)
        for attempt in self._tries():
            with attempt:
                reused = self._connection is not None
                try:
                    response = self._send(method, path, body, fields)
                    content = response.read()
                except (HTTPException, OSError) as exc:
                    self.close()
                    raise self._away(exc, reused) from exc
                if response.will_close:
                    self.close()
                self._check(response, content)
                return HttpReply(response.status, {k.lower(): v for k, v in response.getheaders()}, content)
        raise AssertionError("the last try raises")

    def open(self, path: str, headers: Mapping[str, str]) -> HTTPResponse:
        """Send a GET and return the response, body unread; retried until it begins. The caller closes the transport."""
        for attempt in self._tries():
            with attempt:
                try:
                    response = self._send("GET", path, None, headers)
                    content = b"" if response.status < 400 else response.read()
                except (HTTPException, OSError) as exc:
                    self.close()
                    raise self._away(exc, False) from exc
                self._check(response, content)
                self._response = response
                return response
        raise AssertionError("the last try raises")

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
        if self._response is not None:
            self._response.close()
        self._connection = self._response = None

    def pause(self, seconds: float) -> None:
        """Sleep, by the injected function."""
        self._sleep(seconds)

    def _tries(self) -> Iterator[_Try]:
        started, delay, is_notified = self._clock(), 0.05, False
        while True:
            attempt = _Try(self._clock() - started >= self.retry_seconds)
            yield attempt
            assert attempt.failure is not None
            if not is_notified and self._clock() - started >= _NOTICE_SECONDS:
                is_notified = True
                self._on_wait(attempt.failure)
            if not attempt.at_once:
                self._sleep(delay * _JITTER.uniform(0.5, 1.0))
                delay = min(delay * 2, 2.0)

    def _send(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> HTTPResponse:
        connection = (self._connection if self._process == os.getpid() else None) or self._connect()
        if connection.sock is not None:
            connection.sock.settimeout(self.timeout)  # a kept connection may have an earlier timeout
        fields = {"Accept": "application/json", "Authorization": f"Bearer {self._access.token}", **headers}
        if self._access.user:
            fields["Orchestune-User"] = quote(self._access.user, safe=_PRINTABLE)
        data = body() if callable(body) else body
        try:
            connection.request(method, self._prefix + path, data, fields)
        finally:
            if not isinstance(data, bytes) and data is not None:
                data.close()
        response = connection.getresponse()
        clock.update_offset(response.getheader("Date"))
        self.heard = self._clock()
        self.version = response.getheader(HEADER) or self.version
        return response

    def _connect(self) -> HTTPConnection:
        self._access = self.resolve()
        parts = urlsplit(self._access.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._prefix = parts.path.rstrip("/")
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        if self._access.dial is not None:
            connection.sock = self._access.dial(self.timeout)
            connection.auto_open = 0  # http.client would connect to the address, which may be outdated
        else:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection, self._process = connection, os.getpid()
        return connection

    def _away(self, exc: Exception, reused: bool) -> Unreachable:
        server = self._access.name or self._access.url or "the server"
        hint = "run `orchestune doctor`"
        if isinstance(exc, socket.gaierror):
            return _Final(f"{server} cannot be found: {exc.strerror or exc}", "check ORCHESTUNE_SERVER")
        if isinstance(exc, ssl.SSLCertVerificationError):
            trust = "if the server is the right one, set SSL_CERT_FILE to its authority's certificate (PEM)"
            return _Final(f"the certificate of {server} is not trusted: {exc.verify_message}", trust)
        error = _Dropped if reused else Unreachable
        return error(f"{server} cannot be reached: {str(exc) or type(exc).__name__}", hint)

    def _check(self, response: HTTPResponse, content: bytes) -> None:
        if response.status < 400:
            return
        error = _error(response, content)
        if response.status in (401, Throttled.status):
            self.close()
            if self.resolve()[:2] != self._access[:2]:
                raise _Dropped(error.message, error.hint)  # the server restarted with another token
        raise error


class _Final(Unreachable):
    """Unreachable, and retries cannot help."""


class _Dropped(Unreachable):
    """A kept connection was closed between requests: retry at once."""


class _Try:
    """One try of a request: suppresses retriable errors unless it is the last."""

    def __init__(self, last: bool) -> None:
        self.last = last
        self.failure: TemporaryError | None = None
        self.at_once = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> bool:
        if not isinstance(exc, TemporaryError) or isinstance(exc, _Final) or self.last:
            return False
        self.failure, self.at_once = exc, isinstance(exc, _Dropped)
        return True


_UNAVAILABLE_STATUSES = (502, 503, 504)
"""statuses that a proxy answers on its own while the server behind it restarts"""


def _error(response: HTTPResponse, content: bytes) -> OrchestuneError:
    body = content or response.getheader(ERROR_HEADER)
    try:
        document = json.loads(body) if body else {}
    except ValueError:
        document = {}
    if isinstance(document, dict) and "error" in document:
        return from_json(document)
    if response.status in _UNAVAILABLE_STATUSES:
        reason = f"{response.status} {response.reason}".strip()
        return Unreachable(f"the server is unavailable ({reason})", "retry in a moment")
    if response.status in (401, 403):
        return Denied(f"the server denied the request ({response.status})", "check ORCHESTUNE_TOKEN")
    if response.status == TooLarge.status:
        hint = "raise the proxy's limit; for nginx: `client_max_body_size 0;`"
        return TooLarge("a proxy in front of the server refuses requests of this size (413)", hint)
    if response.status < 500 and content:  # our server refuses with a JSON document; a HEAD has no body
        return _not_ours(response.status)
    return OrchestuneError(f"the server answered {response.status} {response.reason}", "check the server's log")


def _not_ours(status: int) -> Unreachable:
    return _Final(f"not an Orchestune server (status {status})", "check ORCHESTUNE_SERVER")
