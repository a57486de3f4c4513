"""What `$ORCHESTUNE_REPORT_URL` reaches during `test`, where there is no server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl


class Reports:
    """`with Reports() as reports:` takes reports at `reports.url`, as JSON lines in `reports.received`."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                received.append(body if body.lstrip()[:1] == b"{" else _from_form(body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/report"

    def __enter__(self) -> Reports:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
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
