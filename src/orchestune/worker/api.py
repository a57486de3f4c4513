"""HTTP to the server: one connection that stays open, and errors that say whether to try again."""

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

from orchestune.worker.dialling import Address, dial

PREFIX = "/api/v1"
_ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|u(d[89a-f]..)|.)")
"""an escape of JSON; the group is half of a pair without the other half"""
ALONE = 3600.0
"""seconds without any server after which a worker gives up"""


class ApiError(Exception):
    """The server said no; the message is the server's."""


class Absent(ApiError):
    """What was asked for is not there."""


class TooLarge(ApiError):
    """The body is larger than the server, or what stands before it, takes."""


class Unreachable(ApiError):
    """The server is away, or asks to try later: the same call may work."""


class Gone(ApiError):
    """The worker's group is over."""


class Denied(ApiError):
    """The token is not accepted."""


class Backoff:
    """How long to wait before the next try: from 0.1 s, doubling up to 5 s, each time a random part of it."""

    def __init__(self) -> None:
        self._limit = 0.1

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        limit, self._limit = self._limit, min(2 * self._limit, 5.0)
        return limit * (0.5 + random.random() / 2)

    def reset(self) -> None:
        """It worked."""
        self._limit = 0.1


class Server:
    """Where the server is; an embedded one may have moved whenever it cannot be reached."""

    def __init__(self, url: str | None, endpoint: Path | None, token: str, worker: str) -> None:
        self._url, self._endpoint = url, endpoint
        self.token, self.worker = token, worker

    def address(self) -> Address:
        """The present address. Unreachable while there is none."""
        if self._endpoint is not None:
            try:
                document = json.loads(self._endpoint.read_text(encoding="utf-8"))
                return Address(str(document["url"]), str(document.get("socket") or ""))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
                if self._url is None:
                    raise Unreachable(f"no server: cannot read its address in {self._endpoint} ({exc})") from exc
        if self._url is None:
            raise Unreachable("no address of a server is known")
        return Address(self._url)

    def path(self, rest: str) -> str:
        """A route of this worker."""
        return f"{PREFIX}/workers/{self.worker}/{rest}"


class Connection:
    """One keep-alive connection. Not for several threads at once."""

    def __init__(self, server: Server, timeout: float = 15.0) -> None:
        self._server, self._timeout = server, timeout
        self._http: http.client.HTTPConnection | None = None
        self._base, self._address = "", Address("")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON, return JSON. Raises Unreachable, Gone, Denied or ApiError."""
        data = None if body is None else encoded(body)
        self.send(method, path, data, self._timeout)
        _, answer = self.receive()
        return _parse(answer)

    def send(
        self, method: str, path: str, data: bytes | None, timeout: float, kind: str = "application/json"
    ) -> socket.socket:
        """Send a request and return the socket on which the answer will come. Raises Unreachable."""
        headers = {"Authorization": f"Bearer {self._server.token}"}
        if data is not None:
            headers["Content-Type"] = kind
        for fresh in (False, True):
            # a server that ends hangs up with its last answer, and then there is no socket any more
            reused = self._http is not None and self._http.sock is not None and not fresh
            try:
                if not reused:
                    self._open()
                assert self._http is not None and self._http.sock is not None
                if reused and _hung_up(self._http.sock):
                    continue
                self._http.sock.settimeout(timeout)
                self._http.request(method, self._base + path, data, headers)
                return self._http.sock
            except (OSError, http.client.HTTPException) as exc:
                self.close()
                if not reused:
                    raise Unreachable(f"the server cannot be reached: {exc}") from exc
        raise Unreachable("the server hung up")

    def receive(self) -> tuple[http.client.HTTPMessage, bytes]:
        """The headers and the body of the answer to what was sent. Raises what `call` does."""
        response = self._response()
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise Unreachable(f"the server hung up: {exc}") from exc
        try:
            _check(response.status, data)
        except Denied as exc:
            if self._server.address() == self._address:
                raise
            self.close()
            raise Unreachable("another server answers at the old address") from exc
        return response.headers, data

    def download(self, path: str, target: Path) -> None:
        """GET into a file. Raises what `call` does, and OSError where the disk refuses."""
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
                    raise Unreachable(f"the server hung up: {exc}") from exc
                if not data:
                    break
                file.write(data)
        if response.length:  # `read` says nothing of an answer that ends early
            self.close()
            raise Unreachable("the server hung up in the middle of a file")

    def close(self) -> None:
        """Hang up; the next call opens anew, at the server's present address."""
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
            raise Unreachable(f"no answer from the server: {exc}") from exc


def call_patiently(connection: Connection, method: str, path: str, body: Any) -> Any:
    """`call` again and again while the server is away."""
    backoff = Backoff()
    while True:
        try:
            return connection.call(method, path, body)
        except Unreachable:
            time.sleep(backoff.next())


def node_name() -> str:
    """How this machine is called in listings."""
    return os.environ.get("ORCHESTUNE_NODE") or socket.gethostname()


def _hung_up(sock: socket.socket) -> bool:
    """Whether an idle connection was closed from the other side: something to read, and nobody asked."""
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
        raise Unreachable("the server's answer is no JSON") from exc


def encoded(body: Any) -> bytes:
    """JSON. Half of a pair of surrogates, which names of files and what programs write may hold, is U+FFFD there."""
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
        raise Gone(message)
    if status in (401, 403):
        raise Denied(message)
    if status >= 500 or status in (408, 425, 429):
        raise Unreachable(message)
    raise {404: Absent, 413: TooLarge}.get(status, ApiError)(message)
