"""What `$ORCHESTUNE_REPORT_URL` reaches during `test`, where there is no server."""

from __future__ import annotations

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from types import TracebackType
from urllib.parse import parse_qsl

from orchestune.system.peers import NoTable, UnknownPeer, is_this_user

_LIMIT = 2**20
"""bytes of a report, as at the server"""
_SECONDS = 30.0
"""that a connection may be silent"""


class ReportEndpoint:
    """`with Reports() as reports:` takes reports at `reports.url`, as JSON lines in `reports.received`.

    They come from processes of this user that know the address.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        received = self.received
        path = f"/report/{secrets.token_urlsafe(24)}"

        class Handler(BaseHTTPRequestHandler):
            timeout = _SECONDS

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length") or "0"
                if not secrets.compare_digest(self.path.encode(), path.encode()):
                    self._answer(404)
                elif not length.isdecimal() or len(length) > 9 or int(length) > _LIMIT:
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
    daemon_threads = True  # a connection that sends nothing does not hold up the end

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
        """A report that breaks off, or is none, says nothing; a traceback of ours would stand in the output."""


def _from_form(body: bytes) -> bytes:
    values: dict[str, float] = {}
    for name, text in parse_qsl(body.decode("utf-8", "replace")):
        try:
            values[name] = float(text)
        except ValueError:
            continue
    return json.dumps(values).encode()
