"""A local HTTP gateway for browsers to a server that is reachable only through a Unix socket or a tunnel.

Browsers send the cookies of a host to all of its ports, and keep what one program has installed at an origin (such as
service workers) for the next program there. The gateway therefore has its own host name, `RANDOM.localhost`, and keeps
the sessions: the browser gets a secret for each, which is valid only at this gateway, for its lifetime.
"""

from __future__ import annotations

import secrets
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from orchestune.errors import OrchestuneError, UsageError
from orchestune.system.listening import BoundPort, bind
from orchestune.system.peers import NoTable, UnknownPeer, is_this_user

_HOST = "127.0.0.1"
_BACKLOG = 64
_CHUNK_BYTES = 1 << 16
_BROWSER_TIMEOUT = 75.0
"""timeout in seconds for a browser that sends no request or does not read its response; as at the server"""
_DIAL_TIMEOUT_SECONDS = 20.0
"""timeout in seconds of connecting to the server"""
_HOP_BY_HOP_HEADERS = frozenset(
    ("connection", "expect", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
"""hop-by-hop headers, which are not forwarded"""

Dial = Callable[[float], socket.socket]


@contextmanager
def gateway(dial: Dial) -> Iterator[str]:
    """Yield the address of a gateway that is open for the duration of the block.

    It rejects other users of the machine: the server, which checks for a session or a token, cannot distinguish them
    from this one.

    Raises UsageError if no port can be bound at all loopback addresses: a browser may dial any of them.
    """
    try:
        bound = bind(_HOST, 0, _BACKLOG)
    except OSError as exc:
        reason = f"cannot open an address for the browser: {exc.strerror or exc}"
        raise UsageError(reason, "free the port at that address, or retry") from exc
    with bound, _Gateway(dial, bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{server.host}:{server.server_port}"
        finally:
            server.shutdown()


class _Gateway(ThreadingHTTPServer):
    block_on_close = False  # a page's event stream may stay open for hours

    def __init__(self, dial: Dial, bound: BoundPort) -> None:
        super().__init__((_HOST, bound.number), _Browser, bind_and_activate=False)
        self.socket.close()
        [self.socket] = bound.sockets
        self.server_port = bound.number
        self.dial = dial
        self.host = f"{secrets.token_hex(8)}.localhost"
        self.sessions: dict[str, str] = {}
        """the server's cookie value by the browser's cookie value"""

    def verify_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> bool:
        """Return False, which closes the connection before it gets a thread, if another user's process opened it."""
        assert isinstance(request, socket.socket)
        return _is_this_user(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore aborted connections: they are no error of the command."""


class _Browser(BaseHTTPRequestHandler):
    """A browser's connection, with its own connection to the server."""

    protocol_version = "HTTP/1.1"
    timeout = _BROWSER_TIMEOUT
    server: _Gateway

    def setup(self) -> None:
        super().setup()
        self._far: HTTPConnection | None = None

    def finish(self) -> None:
        self._hang_up()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _pass_on(self) -> None:
        if self.headers.get("Host", "").lower() != f"{self.server.host}:{self.server.server_port}":
            self._refuse(421, "the pages have another address; `orchestune ui` opens them")
        elif "Transfer-Encoding" in self.headers:
            self._refuse(411, "the length of the body is missing")
        else:
            try:
                far = self._connect()
            except (OrchestuneError, OSError) as exc:
                self._refuse(503, str(exc))
                return
            try:
                self._send(far)
                self._answer(far.getresponse())
            except (OSError, HTTPException):  # the browser retries a request without a response
                self._hang_up()
                self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on

    def _connect(self) -> HTTPConnection:
        """Return the connection to the server; open a new one if there is none or the server has closed it."""
        if self._far is not None and select.select([self._far.sock], [], [], 0)[0]:
            self._hang_up()
        if self._far is None:
            far = HTTPConnection(_HOST)
            far.auto_open = 0  # only `dial` connects it
            far.sock = self.server.dial(_DIAL_TIMEOUT_SECONDS)
            far.sock.settimeout(None)
            self._far = far
        return self._far

    def _hang_up(self) -> None:
        if self._far is not None:
            self._far.close()
            self._far = None

    def _send(self, far: HTTPConnection) -> None:
        far.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, text in self.headers.items():
            if name.lower() == "cookie":
                text = self._with_sessions(text)
            if name.lower() not in _HOP_BY_HOP_HEADERS:
                far.putheader(name, text)
        far.endheaders()
        remaining = int(self.headers.get("Content-Length") or 0)
        while remaining > 0:
            piece = self.rfile.read1(min(remaining, _CHUNK_BYTES))
            if not piece:
                raise ConnectionAbortedError("the browser has closed the connection")
            far.send(piece)
            remaining -= len(piece)

    def _answer(self, answer: HTTPResponse) -> None:
        with answer:
            self.send_response_only(answer.status, answer.reason)
            for name, text in answer.getheaders():
                if name.lower() == "set-cookie":
                    text = self._with_secret(text)
                if name.lower() not in _HOP_BY_HOP_HEADERS:
                    self.send_header(name, text)
            remaining = answer.length
            if remaining is None:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while remaining is None and (piece := answer.read1(_CHUNK_BYTES)):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if remaining is None:
                self.wfile.write(b"0\r\n\r\n")
            while remaining:
                piece = answer.read1(min(remaining, _CHUNK_BYTES))
                if not piece:
                    raise ConnectionAbortedError("the server has closed the connection")
                self.wfile.write(piece)
                remaining -= len(piece)
        if answer.will_close:
            self._hang_up()

    def _with_sessions(self, cookies: str) -> str:
        """Replace the browser's secrets by the server's sessions; drop all other cookies."""
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        sessions = self.server.sessions
        return "; ".join(f"{name}={sessions[value]}" for name, _, value in pairs if value in sessions)

    def _with_secret(self, cookie: str) -> str:
        """Replace a new session's value by a secret; a session that ends has an empty value."""
        pair, _, attributes = cookie.partition(";")
        name, _, value = pair.partition("=")
        if not value.strip('"'):
            return cookie
        secret = secrets.token_urlsafe(32)
        self.server.sessions[secret] = value
        return f"{name}={secret};{attributes}"

    def _refuse(self, status: int, reason: str) -> None:
        text = reason.encode()
        self.close_connection = True
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(text if self.command != "HEAD" else b"")


def _is_this_user(near: socket.socket) -> bool:
    """Return True if a process of this user, or of root, connected; also if the system has no socket table."""
    try:
        return is_this_user(near)
    except UnknownPeer:  # the client has disconnected
        return False
    except NoTable:
        return True
