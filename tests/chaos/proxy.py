"""An HTTP proxy that loses, delays and repeats what goes through it."""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """Forwards to a port of the loopback address; what it does to a message is drawn from `random`."""

    def __init__(self, upstream: int, chance: random.Random) -> None:
        self.upstream = upstream
        self.chance = chance
        self.rate = 0.0
        """how often something happens to a message"""
        self.counts = {"dropped": 0, "delayed": 0, "repeated": 0}
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    proxy.handle(self, body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_HEAD = _forward  # noqa: N815 (the names that http.server looks for)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Connections end in every way here: that is the point."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Forward one request, unless chance has other plans."""
        fate = self._fate()
        answer = self._ask(handler, body)
        if fate == "repeated":
            answer = self._ask(handler, body)
        elif fate == "dropped":
            handler.close_connection = True
            return
        elif fate == "delayed":
            time.sleep(self.chance.uniform(0.1, 3.0))
        status, headers, content = answer
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def _fate(self) -> str:
        with self._lock:
            if self.chance.random() >= self.rate:
                return ""
            fate = self.chance.choice(sorted(self.counts))
            self.counts[fate] += 1
            return fate

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            connection.request(handler.command, handler.path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
