"""A registry that lets in by bearer token, from a place for tokens of its own, and can be told to fail."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from orchestune.images.manifests import Manifest
from tests.testbeds.serving import serving


class FakeRegistry(ThreadingHTTPServer):
    """`asked` are the queries for tokens, `refreshed` the forms with a refresh token."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = f"127.0.0.1:{self.server_port}"
        self.manifests: dict[str, Manifest] = {}
        self.login = ("ada", "pw")
        self.refresh_token = "refresh"
        self.anonymous = False
        self.kind = "bearer"
        self.realm = f"http://{self.name}/token"
        self.status = self.token_status = 0
        self.asked: list[dict[str, list[str]]] = []
        self.refreshed: list[dict[str, list[str]]] = []
        self.valid: set[str] = set()
        self.requests: list[tuple[str, str]] = []

    def token(self) -> dict[str, Any]:
        made = f"token-{len(self.asked) + len(self.refreshed)}"
        self.valid.add(made)
        return {"token": made}


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    server: FakeRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        own = self.server
        if url.path == "/token":
            own.asked.append(parse_qs(url.query))
            if own.token_status:
                return self._answer(own.token_status, {})
            known = self.headers.get("Authorization") == _basic(*own.login)
            return self._answer(200, own.token()) if known or own.anonymous else self._answer(401, {})
        own.requests.append((self.command, url.path))
        given = self.headers.get("Authorization", "")
        if own.status:
            return self._answer(own.status, {"errors": [{"code": "X", "message": "so it is"}]})
        if given != _basic(*own.login) if own.kind == "basic" else given.removeprefix("Bearer ") not in own.valid:
            return self._refuse()
        if url.path == "/v2/":
            return self._answer(200, {})
        repository, _, version = url.path.removeprefix("/v2/").partition("/manifests/")
        found = own.manifests.get(f"{repository}:{version}")
        if found is None:
            return self._answer(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        return self._send(200, found.body, {"Content-Type": found.media_type, "Docker-Content-Digest": found.digest})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.refreshed.append(form)
        good = form.get("refresh_token") == [self.server.refresh_token]
        if good:
            return self._answer(200, {"access_token": self.server.token()["token"]})
        return self._answer(401, {})

    def _refuse(self) -> None:
        challenge = 'Basic realm="here"'
        if self.server.kind == "bearer":
            challenge = f'Bearer realm="{self.server.realm}",service="the, registry",scope="repository:a/b:pull"'
        self._send(401, b"{}", {"WWW-Authenticate": challenge})

    def _answer(self, status: int, document: object) -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
