"""HTTP client of the server: one keep-alive connection, and errors by which the caller decides to retry."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestune.worker.connection.dialling import ServerAddress, dial

PREFIX = "/api/v1"
_ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|u(d[89a-f]..)|.)")
"""an escape sequence of JSON; the group matches an unpaired surrogate"""
MAX_UNREACHABLE_SECONDS = 3600.0
"""seconds without a reachable server after which a worker shuts down"""


class ApiError(Exception):
    """The server rejected the request; carries the server's message."""


class Absent(ApiError):
    """The requested object does not exist (404)."""


class TooLarge(ApiError):
    """The body exceeds the size limit of the server or of a proxy in front of it (413)."""


class Unreachable(ApiError):
    """The server is unreachable or asks for a retry later: the same call may succeed."""


class WorkerGone(ApiError):
    """The server needs this worker no longer (410): the worker should shut down."""


class Denied(ApiError):
    """The token was rejected (401 or 403)."""


class Backoff:
    """Exponential backoff between retries: 0.1 s, doubled up to 5 s, each with a random factor of 0.5 to 1."""

    def __init__(self) -> None:
        self._limit = 0.1

    def next(self) -> float:
        """Return the seconds to wait after another failure, and double the limit."""
        limit, self._limit = self._limit, min(2 * self._limit, 5.0)
        return limit * (0.5 + random.random() / 2)

    def reset(self) -> None:
        """Start again at the shortest delay, after a success."""
        self._limit = 0.1


class ServerEndpoint:
    """Address and token of the server, as this worker knows them.

    `endpoint`: the endpoint file of an embedded server, read for each new connection, since a restarted server has
    another address; None if the server has a fixed `url`.
    """

    def __init__(self, url: str | None, endpoint: Path | None, token: str, worker: str) -> None:
        self._url, self._endpoint = url, endpoint
        self.token, self.worker = token, worker

    def address(self) -> ServerAddress:
        """Return the current address. Raises Unreachable if none is known."""
        if self._endpoint is not None:
            try:
                document = json.loads(self._endpoint.read_text(encoding="utf-8"))
                return ServerAddress(str(document["url"]), str(document.get("socket") or ""))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
                if self._url is None:
                    raise Unreachable(f"no server: cannot read its address in {self._endpoint} ({exc})") from exc
        if self._url is None:
            raise Unreachable("no server: the settings contain neither a URL nor an endpoint file")
        return ServerAddress(self._url)

    def path(self, rest: str) -> str:
        """Return the URL path of a route below this worker."""
        return f"{PREFIX}/workers/{self.worker}/{rest}"


class ServerConnection:
    """One keep-alive connection. Not thread-safe."""

    def __init__(self, server: ServerEndpoint, timeout: float = 15.0) -> None:
        self._server, self._timeout = server, timeout
        self._http: http.client.HTTPConnection | None = None
        self._base, self._address = "", ServerAddress("")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON, return JSON. Raises Unreachable, WorkerGone, Denied or ApiError."""
        data = None if body is None else encoded(body)
        self.send(method, path, data, self._timeout)
        _, response = self.receive()
        return _parse(response)

    def send(
        self, method: str, path: str, data: bytes | None, timeout: float, kind: str = "application/json"
    ) -> socket.socket:
        """Send a request and return the socket to wait on for the response. Raises Unreachable."""
        headers = {"Authorization": f"Bearer {self._server.token}"}
        if data is not None:
            headers["Content-Type"] = kind
        for fresh in (False, True):
            # A server that shuts down closes the connection with its last response; `sock` is None then.
            reused = self._http is not None and self._http.sock is not None and not fresh
            try:
                if not reused:
                    self._open()
                assert self._http is not None and self._http.sock is not None
                if reused and _is_closed(self._http.sock):
                    continue
                self._http.sock.settimeout(timeout)
                self._http.request(method, self._base + path, data, headers)
                return self._http.sock
            except (OSError, http.client.HTTPException) as exc:
                self.close()
                if not reused:
                    raise Unreachable(f"the server cannot be reached: {exc}") from exc
        raise Unreachable("the server closed the connection")

    def receive(self) -> tuple[http.client.HTTPMessage, bytes]:
        """Return headers and body of the response to the request sent last. Raises the same errors as `call`."""
        response = self._response()
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise Unreachable(f"the server closed the connection: {exc}") from exc
        try:
            _check(response.status, data)
        except Denied as exc:
            if self._server.address() == self._address:
                raise
            self.close()
            raise Unreachable("another server responds at the old address") from exc
        return response.headers, data

    def download(self, path: str, target: Path) -> None:
        """Download into a file. Raises the same errors as `call`, and OSError if `target` cannot be written."""
        self.send("GET", path, None, 60.0)
        response = self._response()
        if response.status >= 300:
            _check(response.status, response.read())
        with open(target, "wb") as file:
            while True:
                try:
                    data = response.read(1 << 20)
                except (OSError, http.client.HTTPException) as exc:
                    self.close()
                    raise Unreachable(f"the server closed the connection: {exc}") from exc
                if not data:
                    break
                file.write(data)
        if response.length:  # `read` raises nothing if the response is truncated
            self.close()
            raise Unreachable("the server closed the connection in the middle of a file")

    def close(self) -> None:
        """Close the connection; the next call reconnects to the server's current address."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _open(self) -> None:
        self.close()
        self._address = self._server.address()
        self._http = dial(self._address, self._server.token)
        self._base = urlsplit(self._address.url).path.rstrip("/")

    def _response(self) -> http.client.HTTPResponse:
        if self._http is None:
            raise Unreachable("the connection is closed")
        try:
            return self._http.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise Unreachable(f"no response from the server: {exc}") from exc


def call_with_retries(connection: ServerConnection, method: str, path: str, body: Any) -> Any:
    """Return the result of `call`, retried with backoff as long as the server is unreachable."""
    backoff = Backoff()
    while True:
        try:
            return connection.call(method, path, body)
        except Unreachable:
            time.sleep(backoff.next())


def node_name() -> str:
    """Return this machine's name for listings: $ORCHESTUNE_NODE, or the host name."""
    return os.environ.get("ORCHESTUNE_NODE") or socket.gethostname()


def _is_closed(sock: socket.socket) -> bool:
    """Return True if the peer closed an idle connection: the socket is readable although no request is pending."""
    if isinstance(sock, ssl.SSLSocket):
        return False
    try:
        sock.setblocking(False)
        return len(sock.recv(1, socket.MSG_PEEK)) >= 0
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError as exc:
        raise Unreachable("the server's response is not valid JSON") from exc


def encoded(body: Any) -> bytes:
    """Serialize to JSON. Unpaired surrogates, which file names and output may contain, become U+FFFD."""
    text = json.dumps(body, separators=(",", ":"))
    if "\\ud" in text:
        text = _ESCAPE.sub(lambda match: "\\ufffd" if match[1] else match[0], text)
    return text.encode("ascii")


def _check(status: int, data: bytes) -> None:
    if status < 300:
        return
    message = f"HTTP {status}"
    try:
        message = str(json.loads(data)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        pass
    if status == 410:
        raise WorkerGone(message)
    if status in (401, 403):
        raise Denied(message)
    if status >= 500 or status in (408, 425, 429):
        raise Unreachable(message)
    raise {404: Absent, 413: TooLarge}.get(status, ApiError)(message)
