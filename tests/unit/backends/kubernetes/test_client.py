"""Credentials of the server at an API server, and their renewal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.kubernetes.client import connect
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.errors import Unreachable
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.errors import Unauthenticated
from tests.testbeds.serving import Handler, Listening, serving
from tests.testbeds.tls import add_tls


class Server(Listening):
    """Answers who comes with the token that counts."""

    def __init__(self) -> None:
        super().__init__(_RecordingHandler)
        self.cluster = add_tls(self)
        self.token = "first"


class _RecordingHandler(Handler):
    server: Server

    def do_GET(self) -> None:
        if self.path.startswith("/led-away"):
            self.send(302, headers={"Location": "https://sso.example.org/"})
            return
        is_authorized = self.headers.get("Authorization") == f"Bearer {self.server.token}"
        self.send_json(200 if is_authorized else 401, {"known": is_authorized, "message": "Unauthorized"})


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as http_server:
        yield http_server


def connected(server: Server, folder: Path, **status: str) -> ApiServer:
    """Connect by a login program whose first answer has this `status` beside the token."""
    version = "client.authentication.k8s.io/v1"
    give(folder, "first", **status)
    (folder / "login").write_text(f"#!/bin/sh\necho run >> {folder}/runs\ncat {folder}/answer\n")
    (folder / "login").chmod(0o700)
    document = {
        "current-context": "lab", "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": server.cluster}],
        "users": [{"name": "lab", "user": {"exec": {"apiVersion": version, "command": "./login"}}}],
    }  # fmt: skip
    (folder / "config").write_text(json.dumps(document))
    return connect(KubernetesConfig("lab", "ml", "http://o", "o:1", kubeconfig=str(folder / "config")))


def give(folder: Path, token: str, **status: str) -> None:
    version = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": token, **status}}
    (folder / "answer").write_text(json.dumps(answer))


def call(api: ApiServer) -> Any:
    return api.call("GET", "/version")


def watch(api: ApiServer) -> Any:
    return api.watch("/api/v1/pods", {}, "1").close()


@pytest.mark.parametrize("ask", [call, watch])
def test_rejected_credentials_are_renewed_and_the_request_is_repeated(
    server: Server, tmp_path: Path, ask: Callable[[ApiServer], Any]
) -> None:
    api = connected(server, tmp_path)
    ask(api)
    server.token = "second"
    give(tmp_path, "second")
    ask(api)
    assert call(api)["known"]
    assert len((tmp_path / "runs").read_text().splitlines()) == 2


def test_one_that_does_not_help_is_not_made_again_at_once(server: Server, tmp_path: Path) -> None:
    api = connected(server, tmp_path)
    call(api)
    server.token = "second"
    (tmp_path / "answer").write_text("no login today")
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            call(api)
    assert len((tmp_path / "runs").read_text().splitlines()) <= 2


def test_somebody_elses_token_that_is_not_known_costs_no_login(server: Server, tmp_path: Path) -> None:
    api = connected(server, tmp_path)
    call(api)
    with pytest.raises(Unauthenticated):
        api.call("GET", "/version", token="theirs")
    assert len((tmp_path / "runs").read_text().splitlines()) == 1


def test_a_login_program_that_fails_now_may_do_better_later(server: Server, tmp_path: Path) -> None:
    api = connected(server, tmp_path, expirationTimestamp="2026-01-31T12:00:00Z")
    (tmp_path / "answer").write_text("no login today")
    with pytest.raises(Unauthenticated, match="gave no ExecCredential"):
        call(api)
    give(tmp_path, "first")
    assert call(api)["known"]


def test_who_is_led_away_to_log_in_has_not_seen_an_empty_cluster(server: Server, tmp_path: Path) -> None:
    api = connected(server, tmp_path)
    with pytest.raises(Unreachable, match="is no API server"):
        api.list_objects("/led-away")
    with pytest.raises(Unreachable, match="is no API server"):
        api.watch("/led-away", {}, "1")
