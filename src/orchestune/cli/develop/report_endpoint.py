"""Endpoint for `$ORCHESTUNE_REPORT_URL` during `test`, which runs without a server."""

from __future__ import annotations

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from types import TracebackType
from urllib.parse import parse_qsl

from orchestune.system.peers import NoTable, UnknownPeer, is_this_user

_MAX_REPORT_BYTES = 2**20
"""as on the server"""
_TIMEOUT_SECONDS = 30.0
"""timeout of a silent connection"""


class ReportEndpoint:
    """`with ReportEndpoint() as reports:` receives reports at `reports.url` and stores them as JSON lines in
    `reports.received`.

    Only processes of this user that know the URL can send reports.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        received = self.received
        path = f"/report/{secrets.token_urlsafe(24)}"

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_SECONDS

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length") or "0"
                if not secrets.compare_digest(self.path.encode(), path.encode()):
                    self._answer(404)
                elif not length.isdecimal() or len(length) > 9 or int(length) > _MAX_REPORT_BYTES:
                    self._answer(413)
                else:
                    body = self.rfile.read(int(length))
                    received.append(body if body.lstrip()[:1] == b"{" else _from_form(body))
                    self._answer(200)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> ReportEndpoint:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a silent connection does not delay the shutdown

    def verify_request(self, request: socket | tuple[bytes, socket], client_address: object) -> bool:
        """Return False, which closes the connection, if another user's process opened it."""
        assert isinstance(request, socket)
        try:
            return is_this_user(request)
        except UnknownPeer:
            return False
        except NoTable:
            return True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore incomplete and invalid reports; a traceback would appear in the command's output."""


def _from_form(body: bytes) -> bytes:
    values: dict[str, float] = {}
    for name, text in parse_qsl(body.decode("utf-8", "replace")):
        try:
            values[name] = float(text)
        except ValueError:
            continue
    return json.dumps(values).encode()
