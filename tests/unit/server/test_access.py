from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestune import __version__
from orchestune.errors import StoreUnavailable
from orchestune.server.access import Need, need
from orchestune.services.access.authenticate import identify
from tests.testbeds.vouching import Vouching
from tests.unit.server.harness import WORKER, Live, live, scripted_core

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/healthz", Need.NOTHING),
        ("GET", "/metrics", Need.VIEWER),
        ("POST", "/api/v1/report/a/s", Need.NOTHING),
        ("GET", "/api/v1/bundles/x", Need.ANY_CALLER),
        ("PUT", "/api/v1/bundles/x", Need.EDITOR),
        ("HEAD", "/api/v1/bundles/x", Need.EDITOR),
        ("POST", "/api/v1/workers/w/work", Need.WORKER),
        ("GET", "/api/v1/experiments", Need.VIEWER),
        ("GET", "/api/v1/experiments/x/logs", Need.VIEWER),
        ("POST", "/api/v1/experiments", Need.EDITOR),
        ("POST", "/api/v1/experiments/x/stop", Need.EDITOR),
        ("DELETE", "/api/v1/experiments/x", Need.EDITOR),
        ("DELETE", "/api/v1/experiments/x?purge=true", Need.OWNER),
        ("POST", "/api/v1/shutdown", Need.OWNER),
        ("GET", "/api/v1/something/new", Need.OWNER),
    ],
)
def test_what_nobody_thought_of_is_the_owners(method: str, path: str, expected: Need) -> None:
    path, _, query = path.partition("?")
    assert need(method, path, query) is expected


@pytest.fixture
def vouched() -> Iterator[Live]:
    core = replace(scripted_core(), identities=(Vouching(),))
    with live(core, scripted=True) as server:
        yield server


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "GET", "/api/v1/experiments/sgd", 200),
        ("viewer", "POST", "/api/v1/experiments/sgd/stop", 403),
        ("viewer", "PUT", f"/api/v1/bundles/{DIGEST}", 403),
        ("viewer", "PUT", "/api/v1/experiments/sgd/code", 403),
        ("viewer", "PUT", "/api/v1/experiments/sgd/terminal", 403),
        ("editor", "POST", "/api/v1/experiments/sgd/stop", 200),
        ("editor", "DELETE", "/api/v1/experiments/sgd?purge=true", 403),
        ("editor", "POST", "/api/v1/shutdown", 403),
        ("owner", "POST", "/api/v1/shutdown", 200),
        ("viewer", "POST", "/api/v1/workers/worker-1/work", 403),
        ("viewer", "POST", "/api/v1/workers//work", 403),
        ("stranger", "GET", "/api/v1/experiments/sgd", 403),
    ],
)
def test_a_role_may_do_what_is_its_own(vouched: Live, role: str, method: str, path: str, status: int) -> None:
    vouched.script.answers |= {"identify": identify, "authenticate": None, "status": {}, "stop": {}}
    reply = vouched.ask(method, path, {} if method == "POST" else None, token=f"{role}-token")
    assert reply.status == status
    if status == 403 and role in ("viewer", "editor") and "workers" not in path:
        article = "an" if role == "editor" else "a"
        assert f"is {article} {role} of this server (expected " in reply.json()["error"]["message"]


def test_who_shares_a_role_is_called_as_they_say(vouched: Live) -> None:
    vouched.script.answers |= {"identify": identify, "authenticate": None, "stop": {}}
    path = "/api/v1/experiments/sgd/stop"
    vouched.ask("POST", path, {}, token="editor-token", headers={"Orchestune-User": "ada"})
    vouched.ask("POST", path, {}, token="editor-token", headers={"Orchestune-User": "e" * 300})
    vouched.ask("POST", path, {}, token="editor-token")
    assert [args[-1] for args in vouched.script.of("stop")] == ["ada", "account-editor", "account-editor"]
    assert vouched.ask("POST", path, {}, token="editor-guess").status == 401


def test_a_name_that_no_header_can_hold_comes_encoded(vouched: Live) -> None:
    vouched.script.answers |= {"identify": identify, "authenticate": None, "stop": {}}
    vouched.ask(
        "POST", "/api/v1/experiments/sgd/stop", {}, token="editor-token", headers={"Orchestune-User": "Zo%C3%AB"}
    )
    assert vouched.script.of("stop")[0][-1] == "Zoë"


def test_every_answer_to_a_person_says_the_servers_version(server: Live) -> None:
    server.script.answers["status"] = {}
    assert server.ask("GET", "/api/v1/experiments/sgd").headers["orchestune-version"] == __version__


def test_a_name_of_their_own_is_not_changed_by_a_header(server: Live) -> None:
    server.script.answers["stop"] = {}
    server.ask("POST", "/api/v1/experiments/sgd/stop", {}, headers={"Orchestune-User": "eve"})
    assert server.script.of("stop")[0][-1] == "ada"


def test_a_missing_token_and_a_wrong_one_are_told_apart_and_both_are_401(server: Live) -> None:
    missing = server.ask("GET", "/api/v1/server", token=None)
    wrong = server.ask("GET", "/api/v1/server", token="guessed")
    assert (missing.status, wrong.status) == (401, 401)
    assert missing.headers["www-authenticate"] == "Bearer"
    assert missing.json()["error"]["code"] == "denied"
    assert "missing" in missing.json()["error"]["message"]
    assert "unknown" in wrong.json()["error"]["message"]


def test_another_scheme_than_bearer_is_no_token(server: Live) -> None:
    reply = server.ask("GET", "/api/v1/server", token=None, headers={"Authorization": "Basic YTpi"})
    assert reply.status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/server"),
        ("POST", "/api/v1/shutdown"),
        ("GET", "/api/v1/experiments/sgd"),
        ("PUT", f"/api/v1/bundles/{DIGEST}"),
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/api/v1/workers/worker-2/work"),
        ("GET", "/api/v1/workers/worker-1x/jobs/1"),
        ("GET", "/api/v1/workers/../experiments"),
    ],
)
def test_a_worker_reaches_neither_owners_routes_nor_another_workers(server: Live, method: str, path: str) -> None:
    reply = server.ask(method, path, {}, token=WORKER)
    assert reply.status == 403
    assert reply.json()["error"]["code"] == "denied"
    assert WORKER not in reply.body.decode()
    assert [name for name, _ in server.script.calls if name != "authenticate"] == []


def test_a_worker_reaches_its_own_routes(server: Live) -> None:
    server.script.answers["job"] = {"revision": 1}
    reply = server.ask("GET", "/api/v1/workers/worker-1/jobs/1", token=WORKER)
    assert (reply.status, reply.json()) == (200, {"revision": 1})
    assert server.script.of("job") == [("worker-1", 1)]


def test_metrics_are_for_who_is_known(vouched: Live) -> None:
    vouched.script.answers |= {"identify": identify, "authenticate": None, "metrics": []}
    tokens = (None, "nobody-s", "viewer-token")
    assert [vouched.ask("GET", "/metrics", token=token).status for token in tokens] == [401, 401, 200]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probes_need_no_token(server: Live, method: str) -> None:
    assert server.ask(method, "/healthz", token=None).status == 200
    assert server.ask(method, "/readyz", token=None).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_store_that_is_away_makes_the_server_unready_but_not_dead(server: Live, method: str) -> None:
    server.script.answers["health"] = StoreUnavailable("the store is away")
    assert server.ask(method, "/readyz", token=None).status == 503
    assert server.ask(method, "/healthz", token=None).status == 200


def test_a_token_is_checked_once_a_minute_and_a_wrong_one_each_time(server: Live) -> None:
    server.ask("GET", "/api/v1/server")
    server.script.calls.clear()
    for _ in range(3):
        assert server.ask("GET", "/api/v1/server").status == 200
        assert server.ask("GET", "/api/v1/server", token="guessed").status == 401
    assert server.script.of("authenticate") == [("guessed",)] * 3
