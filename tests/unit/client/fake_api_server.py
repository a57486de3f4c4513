"""A small API server of Kubernetes with TLS: gives tokens, lists pods, forwards websockets to a local port."""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from orchestune.client.clusters import ConnectedCluster
from orchestune.client.tunnels.websocket import decode_frames
from tests.testbeds.serving import Handler, Listening
from tests.testbeds.tls import add_tls

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def pod(name: str = "orchestune-server-1", *, ready: bool = True, **status: Any) -> dict[str, Any]:
    """A pod of the server, as the API server lists it."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    containers = [{"name": "server", "ready": ready, "restartCount": 0, "state": {"running": {}}}]
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-01-31T12:00:00Z"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": containers, **status},
    }


class FakeApiServer:
    """`with FakeApiServer(port) as api:`; `api.cluster(folder)` is a cluster that leads here."""

    def __init__(self, port: int) -> None:
        self.port = port
        """of the server in the pod; 0: refused"""
        self.pods: list[dict[str, Any]] = [pod()]
        self.roles = {"owner", "editor", "viewer"}
        """those whose token may be had"""
        self.lifetime = 3600
        self.asked: list[str] = []
        self.pings = 0
        self.objects: dict[str, Any] = {}
        """by path, what else it has"""
        self.forbidden: list[str] = []
        """parts of paths that are answered with 403"""
        self.failing: dict[str, int] = {}
        """parts of paths that are answered with another status"""
        self.login = "ada's own"
        """the token that is accepted"""
        self.unknown = False
        """no login is accepted"""
        self.token: Callable[[str], str] = lambda role: f"token-of-{role}"
        self.silent: set[socket.socket] = set()
        """connections on which nothing is forwarded any more, without an error"""
        self._http = _Http(_Handler)
        self._http.fake = self
        self._cluster = add_tls(self._http)
        self._open: list[socket.socket] = []

    def __enter__(self) -> FakeApiServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.cut()

    def cut(self) -> None:
        """Break every connection that is forwarded."""
        for item in self._open:
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Let the connections of this moment fall silent, as those of a machine that was asleep."""
        self.silent |= set(self._open)

    def kubeconfig(self, folder: Path, **user: Any) -> Path:
        """A file that leads here; its user has a token, or what is given."""
        path = folder / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": self._cluster}],
            "users": [{"name": "ada", "user": user or {"token": "ada's own"}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "ada"}}],
        }
        path.write_text(json.dumps(document))
        return path

    def cluster(self, folder: Path, **changes: Any) -> ConnectedCluster:
        """Return the connected cluster that `cluster connect` would store."""
        values = {"kubeconfig": str(self.kubeconfig(folder)), "context": "lab", "namespace": "ml", **changes}
        return ConnectedCluster("lab", "kubernetes", **values)


class _Http(Listening):
    fake: FakeApiServer


class _Handler(Handler):
    server: _Http
    connection: ssl.SSLSocket

    def setup(self) -> None:
        super().setup()
        self._lock = threading.Lock()
        """OpenSSL does not allow two threads in one connection at once"""

    def do_GET(self) -> None:
        fake = self.server.fake
        if self._refused():
            return
        if "/portforward" in self.path:
            self._forward(fake)
        elif self.path in fake.objects:
            self.send_json(200, fake.objects[self.path])
        else:
            self.send_json(200, {"kind": "PodList", "items": fake.pods})

    def do_POST(self) -> None:
        fake = self.server.fake
        self.body()
        role = self.path.rpartition("orchestune-")[2].partition("/")[0]
        if self._refused():
            return
        if role not in fake.roles:
            self._forbid("create", "serviceaccounts/token")
        else:
            status = {"token": fake.token(role)}
            self.send_json(201, {"spec": {"expirationSeconds": fake.lifetime}, "status": status})

    def _refused(self) -> bool:
        fake = self.server.fake
        fake.asked.append(f"{self.command} {self.path}")
        if fake.unknown or self.headers.get("Authorization") != f"Bearer {fake.login}":
            self.send_json(401, {"message": "Unauthorized"})
        elif status := next((status for part, status in fake.failing.items() if part in self.path), 0):
            self.send_json(status, {"message": f"answered {status}"})
        elif any(part in self.path for part in fake.forbidden):
            verb = "create" if self.command == "POST" or "portforward" in self.path else "list"
            self._forbid(verb, "pods/portforward" if "portforward" in self.path else "pods")
        else:
            return False
        return True

    def _forbid(self, verb: str, resource: str) -> None:
        text = f'x is forbidden: User "ada" cannot {verb} resource "{resource}" in API group "" in the namespace "ml"'
        self.send_json(403, {"message": text})

    def _forward(self, fake: FakeApiServer) -> None:
        if "json" in self.headers.get("Accept", ""):
            self.send(406, b"Not Acceptable")
            return
        accepted = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + _GUID).encode()).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accepted.decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.close_connection = True
        fake._open.append(self.connection)
        self._send(2, b"\0" + (8470).to_bytes(2, "little"))
        self._send(2, b"\1" + (8470).to_bytes(2, "little"))
        try:
            inner = socket.create_connection(("127.0.0.1", fake.port), 60)
        except OSError as exc:
            self._send(2, b"\1" + f"error forwarding port 8470: {exc}".encode())
            self._send(8, b"")
            return
        with inner:
            threading.Thread(target=self._back, args=(inner, fake), daemon=True).start()
            self._take(inner, fake)

    def _take(self, inner: socket.socket, fake: FakeApiServer) -> None:
        data = bytearray()
        while block := self._recv():
            if self.connection in fake.silent:
                continue
            data += block
            for kind, content in decode_frames(_unmasked(data)):
                if kind == 9:
                    fake.pings += 1
                    self._send(10, content)
                elif kind == 2:
                    assert content[:1] == b"\0"
                    inner.sendall(content[1:])
        with suppress(OSError):
            inner.shutdown(socket.SHUT_RDWR)

    def _back(self, inner: socket.socket, fake: FakeApiServer) -> None:
        with suppress(OSError):
            while block := inner.recv(3000):  # small, so that answers come in many frames
                if self.connection not in fake.silent:
                    self._send(2, b"\0" + block)
            self._send(8, b"")

    def _recv(self) -> bytes:
        if not self.connection.pending():
            select.select([self.connection], [], [])
        with self._lock:
            return self.connection.recv(1 << 16)

    def _send(self, kind: int, content: bytes) -> None:
        size = len(content)
        head = bytes([0x80 | kind, size]) if size < 126 else bytes([0x80 | kind, 126]) + size.to_bytes(2, "big")
        with self._lock:
            self.connection.sendall(head + content)


def _unmasked(data: bytearray) -> bytearray:
    """The whole frames at the beginning of `data`, taken from it, as a server would send them: without masks."""
    plain = bytearray()
    while len(data) >= 6:
        short = data[1] & 0x7F
        extra = {126: 2, 127: 8}.get(short, 0)
        if len(data) < 6 + extra:
            break
        size = int.from_bytes(data[2 : 2 + extra], "big") if extra else short
        start = 6 + extra
        if len(data) < start + size:
            break
        mask = data[start - 4 : start]
        content = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[start : start + size]))
        plain += bytes([data[0], short]) + data[2 : 2 + extra] + content
        del data[: start + size]
    return plain
