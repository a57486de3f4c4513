"""`orchestune login` and `logout` at a server whose answers a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestune.client.logins import Logins, StoredLogin
from orchestune.errors import Denied, NotFound, ProviderUnavailable, UsageError
from tests.testbeds.serving import Handler, Listening, serving
from tests.unit.cli.conftest import Result

Cli = Callable[..., Result]
CODE = {
    "login": "handle", "user_code": "AB-CD", "address": "https://id.example/device", "complete_address": "",
    "provider": "the lab", "seconds": 600, "interval": 0.0,
}  # fmt: skip
PENDING = {"token": "", "name": "", "role": "", "expires_at": ""}
DONE = {"token": "l.new", "name": "ada@example.org", "role": "editor", "expires_at": "2027-01-01T00:00:00Z"}


class LoginServer(Listening):
    """Answers each request with the next answer, and the last one again."""

    def __init__(self) -> None:
        super().__init__(_Routes)
        self.answers: list[tuple[int, Mapping[str, Any]]] = [(201, CODE), (200, PENDING), (200, DONE)]
        self.requests: list[tuple[str, str, str]] = []


class _Routes(Handler):
    server: LoginServer

    def do_POST(self) -> None:
        self.body()
        self.server.requests.append((self.command, self.path, self.headers["Authorization"]))
        answers = self.server.answers
        self.send_json(*(answers.pop(0) if len(answers) > 1 else answers[0]))

    do_DELETE = do_POST


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoginServer]:
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path))
    for name in ("ORCHESTUNE_SERVER", "ORCHESTUNE_TOKEN", "ORCHESTUNE_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    with serving(LoginServer()) as running:
        yield running


def test_login_shows_the_code_waits_for_the_person_and_keeps_the_token(
    server: LoginServer, cli: Cli, tmp_path: Path
) -> None:
    down = (503, ProviderUnavailable("the lab does not answer").to_json())
    server.answers[1:2] = [(200, PENDING), down]
    done = cli("login", f"{server.url}/")
    assert done.code == 0, done.err
    assert "Open https://id.example/device" in done.out and "at the lab: AB-CD" in done.out
    assert f"signed in at {server.url} as ada@example.org (editor), until 2027-01-01" in done.out
    assert f"export ORCHESTUNE_SERVER={server.url}" in done.err
    assert Logins(tmp_path).find(server.url) == StoredLogin(server.url, **DONE)
    assert "l.new" not in done.out + done.err
    assert [path for _, path, _ in server.requests] == ["/api/v1/login", *["/api/v1/login/token"] * 3]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, NotFound("this server has no single sign-on", "set ORCHESTUNE_TOKEN").to_json()), 2),
        ((403, Denied("no group of this account has a role", "ask the operator").to_json()), 2),
        ((503, ProviderUnavailable("the lab does not answer", "retry").to_json()), 3),
    ],
)
def test_a_refused_login_says_why_at_once_and_keeps_nothing(
    server: LoginServer, cli: Cli, tmp_path: Path, answer: tuple[int, dict[str, Any]], code: int
) -> None:
    server.answers[:] = [answer]
    refused = cli("login", server.url)
    assert refused.code == code and answer[1]["error"]["message"] in refused.err
    assert len(server.requests) == 1 and Logins(tmp_path).find(server.url) is None


def test_login_names_a_token_that_takes_precedence(
    server: LoginServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTUNE_SERVER", server.url)
    monkeypatch.setenv("ORCHESTUNE_TOKEN", "a-token-of-a-machine")
    done = cli("login")
    assert done.code == 0 and "ORCHESTUNE_TOKEN is set and takes precedence" in done.err
    assert "export ORCHESTUNE_SERVER" not in done.err
    assert "a-token-of-a-machine" not in {token for _, _, token in server.requests}


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ((204, {}), ""),
        ((401, {"error": {"code": "denied", "message": "the sign-in has ended"}}), ""),
        ((503, ProviderUnavailable("down").to_json()), "ends the sign-in at 2027-01-01T00:00:00Z: down"),
    ],
)
def test_logout_ends_the_sign_in_and_forgets_the_token_in_any_case(
    server: LoginServer, cli: Cli, tmp_path: Path, answer: tuple[int, dict[str, Any]], note: str
) -> None:
    Logins(tmp_path).add(StoredLogin(server.url, **DONE))
    server.answers[:] = [answer]
    done = cli("logout", server.url)
    assert (done.code, done.out) == (0, f"signed out at {server.url}\n")
    assert note in done.err if note else not done.err
    assert server.requests == [("DELETE", "/api/v1/login", "Bearer l.new")]
    assert Logins(tmp_path).find(server.url) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["login"], "no server"),
        (["logout"], "no server"),
        (["login", "orchestune.example.org"], "invalid server address in the command"),
        (["logout", "https://orchestune.example.org"], "not signed in at https://orchestune.example.org"),
    ],
)
def test_without_a_server_to_sign_in_at_the_error_says_so(
    server: LoginServer, cli: Cli, words: list[str], message: str
) -> None:
    refused = cli(*words)
    assert refused.code == UsageError.exit_code and message in refused.err
