"""A registry that lets in by bearer token, from a token endpoint of its own, and can be set to fail."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from orchestune.images.registries.manifests import Manifest
from tests.testbeds.serving import Handler, Listening, serving


class FakeRegistry(Listening):
    """`asked` are the queries for tokens, `refreshed` the forms with a refresh token."""

    def __init__(self) -> None:
        super().__init__(_Handler)
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
        new_token = f"token-{len(self.asked) + len(self.refreshed)}"
        self.valid.add(new_token)
        return {"token": new_token}


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as server:
        yield server


class _Handler(Handler):
    server: FakeRegistry

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        own = self.server
        if url.path == "/token":
            own.asked.append(parse_qs(url.query))
            if own.token_status:
                return self.send_json(own.token_status, {})
            is_known = self.headers.get("Authorization") == _basic(*own.login)
            return self.send_json(200, own.token()) if is_known or own.anonymous else self.send_json(401, {})
        own.requests.append((self.command, url.path))
        authorization = self.headers.get("Authorization", "")
        if own.status:
            return self.send_json(own.status, {"errors": [{"code": "X", "message": "so it is"}]})
        if (
            authorization != _basic(*own.login)
            if own.kind == "basic"
            else authorization.removeprefix("Bearer ") not in own.valid
        ):
            return self._refuse()
        if url.path == "/v2/":
            return self.send_json(200, {})
        repository, _, version = url.path.removeprefix("/v2/").partition("/manifests/")
        manifest = own.manifests.get(f"{repository}:{version}")
        if manifest is None:
            return self.send_json(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        return self.send(
            200, manifest.body, {"Content-Type": manifest.media_type, "Docker-Content-Digest": manifest.digest}
        )

    do_HEAD = do_GET

    def do_POST(self) -> None:
        form = parse_qs(self.body().decode())
        self.server.refreshed.append(form)
        good = form.get("refresh_token") == [self.server.refresh_token]
        if good:
            return self.send_json(200, {"access_token": self.server.token()["token"]})
        return self.send_json(401, {})

    def _refuse(self) -> None:
        challenge = 'Basic realm="here"'
        if self.server.kind == "bearer":
            challenge = f'Bearer realm="{self.server.realm}",service="the, registry",scope="repository:a/b:pull"'
        self.send(401, b"{}", {"WWW-Authenticate": challenge})


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
