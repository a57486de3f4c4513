"""An HTTP proxy that loses, delays and repeats what goes through it."""

from __future__ import annotations

import http.client
import random
import threading
import time

from tests.testbeds.serving import Handler, Listening


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

        class Forwarding(Handler):
            timeout = 120

            def _forward(self) -> None:
                try:
                    proxy.handle(self, self.body())
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_HEAD = _forward

        self._server = Listening(Forwarding)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def handle(self, handler: Handler, body: bytes) -> None:
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
        ours = ("transfer-encoding", "content-length", "connection", "date", "server")
        handler.send(status, content, {name: value for name, value in headers if name.lower() not in ours})

    def _fate(self) -> str:
        with self._lock:
            if self.chance.random() >= self.rate:
                return ""
            fate = self.chance.choice(sorted(self.counts))
            self.counts[fate] += 1
            return fate

    def _ask(self, handler: Handler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
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
