"""Gateways between a company's machines and the internet: an HTTP proxy, and TLS by an authority of its own."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.testbeds.line import join

_SECONDS = 60.0


class Gateway(socketserver.ThreadingTCPServer):
    """Listens on a free port of `host` while its block runs; `went` are the targets that were asked for."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, host: str, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__((host, 0), handler)
        self.host, self.port = host, int(self.server_address[1])
        self.went: list[str] = []

    def __enter__(self) -> Gateway:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


def proxy(host: str, hosts: Mapping[str, str] | None = None, login: str = "") -> Gateway:
    """Takes `CONNECT HOST:PORT` and nothing else.

    `hosts`: where the names lead that only it knows. `login`: `name:password`, required of each client.
    """
    authorization = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""

    class Connect(_Connect):
        addresses, needed = hosts or {}, authorization

    return Gateway(host, Connect)


def tls_front(host: str, certificate: Path, key: Path, upstream: tuple[str, int]) -> Gateway:
    """`https://` for a plain HTTP server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                with context.wrap_socket(self.request, server_side=True) as near:
                    join(near, socket.create_connection(upstream, _SECONDS))

    return Gateway(host, Front)


def socket_front(path: str) -> Gateway:
    """A port of the loopback address behind which the socket at `path` answers."""

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(path)
            join(self.request, upstream)

    return Gateway("127.0.0.1", Front)


class _Connect(socketserver.BaseRequestHandler):
    server: Gateway
    addresses: Mapping[str, str]
    needed: str

    def handle(self) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (data := self.request.recv(4096)):
                head += data
            method, target, _ = head.decode("latin-1").split(" ", 2)
            if method != "CONNECT":
                self.request.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            if self.needed and f"Proxy-Authorization: {self.needed}\r\n" not in head.decode("latin-1"):
                self.request.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            self.server.went.append(target)
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            name, _, port = target.rpartition(":")
            join(self.request, socket.create_connection((self.addresses.get(name, name), int(port)), _SECONDS))
