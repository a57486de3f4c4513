from __future__ import annotations

import logging
from http.client import HTTPResponse
from typing import Any

import pytest

from orchestune.errors import Ambiguous, BadInput, Conflict, Denied, NotFound, OrchestuneError, StoreUnavailable
from orchestune.server.boundary import CREATE_LIMIT, FORM_LIMIT, JSON_LIMIT, PART_LIMIT, REPORT_LIMIT, WORK_LIMIT
from orchestune.server.context import ServerTimeouts
from orchestune.services.execution.worker_call import WorkerNotNeeded
from tests.unit.server.harness import OWNER, WORKER, Live, live, until

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput.one("is wrong", key="budget"), 400),
        (NotFound("there is no experiment 'sgd'", "did you mean sgd-7f3a?"), 404),
        (Ambiguous("sgd names two"), 409),
        (Conflict("it is stopped"), 409),
        (StoreUnavailable("the disk is full"), 503),
        (WorkerNotNeeded("no longer wanted"), 410),
    ],
)
def test_an_error_of_a_service_has_its_status_code_message_and_hint(
    server: Live, error: OrchestuneError, status: int
) -> None:
    server.script.answers["status"] = error
    reply = server.ask("GET", "/api/v1/experiments/sgd")
    assert (reply.status, reply.json()) == (status, error.to_json())
    assert reply.headers["content-type"] == "application/json"
    assert ("retry-after" in reply.headers) == (status == 503)


def test_a_number_that_is_too_small_or_too_large_is_told_as_in_a_file(server: Live) -> None:
    wrong = {"budget": 99_999_999_999, "parallelism": 0}
    reply = server.ask("PATCH", "/api/v1/experiments/sgd", wrong)
    assert reply.status == 400
    assert reply.json()["error"]["message"] == (
        "budget: found 99999999999, expected at most 1,000,000,000\nparallelism: found 0, expected at least 1"
    )


def test_a_fault_of_the_server_says_nothing_of_its_inside_and_is_logged_whole(
    server: Live, caplog: pytest.LogCaptureFixture
) -> None:
    server.script.answers["status"] = ZeroDivisionError("inner secret")
    with caplog.at_level(logging.ERROR, "orchestune.server"):
        reply = server.ask("GET", "/api/v1/experiments/sgd")
    assert reply.status == 500
    assert reply.json()["error"]["code"] == "internal"
    assert "inner secret" not in reply.body.decode()
    assert any(record.exc_info for record in caplog.records)
    assert "GET /api/v1/experiments/sgd failed" in caplog.text


def test_the_operator_hears_once_a_minute_of_a_store_for_which_requests_wait(
    server: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def met(*messages: str) -> int:
        caplog.clear()
        for message in messages:
            server.script.answers["stop"] = StoreUnavailable(message, "set its keys")
            assert server.ask("POST", "/api/v1/experiments/sgd/stop").status == 503
        return caplog.text.count("requests are delayed: ")

    with caplog.at_level(logging.WARNING, "orchestune.server"):
        assert met("the bucket refused", "the bucket refused", "the database is away") == 2
        assert met("the bucket refused") == 0
        monkeypatch.setattr("orchestune.server.boundary.LOG_INTERVAL_SECONDS", 0.0)
        assert met("the bucket refused") == 1
        assert "the bucket refused (set its keys)" in caplog.text


def test_a_path_that_is_not_there_is_404_in_our_words(server: Live) -> None:
    for path in ("/api/v1/nothing", "/nothing", "/api/v1/experiments/"):
        reply = server.ask("GET", path)
        assert (reply.status, reply.json()["error"]["code"]) == (404, "not_found"), path


def test_another_method_is_405_and_the_right_one_is_named(server: Live) -> None:
    for path in ("/api/v1/experiments/sgd/stop", "/api/v1/workers/worker-1/work"):
        reply = server.ask("GET", path)
        assert (reply.status, reply.json()["error"]["code"]) == (405, "method_not_allowed")
        assert "POST" in reply.headers["allow"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, b'"text"', b"[1]", b"null"])
@pytest.mark.parametrize(("path", "status"), [("/api/v1/experiments", 400), ("/api/v1/workers/worker-1/work", 422)])
def test_a_body_that_is_no_json_object_is_refused(server: Live, path: str, status: int, body: bytes) -> None:
    reply = server.ask("POST", path, body, headers={"Content-Type": "application/json"})
    assert reply.status == status, reply.body
    assert reply.json()["error"]["code"] in ("bad_input", "usage", "invalid_call")


def test_every_value_that_does_not_fit_is_named_at_once(server: Live) -> None:
    reply = server.ask("PATCH", "/api/v1/experiments/sgd", {"budget": "many", "parallelism": 0, "colour": "red"})
    message = reply.json()["error"]["message"]
    assert reply.status == 400
    assert [key in message for key in ("budget", "parallelism", "colour")] == [True] * 3
    assert server.script.of("change_experiment") == []


@pytest.mark.parametrize("value", [2**31, 2**63, 2**70])
@pytest.mark.parametrize("key", ["budget", "parallelism", "priority"])
def test_a_number_that_no_store_holds_is_refused(server: Live, key: str, value: int) -> None:
    reply = server.ask("PATCH", "/api/v1/experiments/sgd", {key: value})
    assert reply.status == 400 and key in reply.json()["error"]["message"]


@pytest.mark.parametrize("labels", [{"": "a"}, {"two words": "a"}, {"a" * 201: "a"}, {"a": "b" * 1001}, {"a": 1}])
def test_a_label_that_no_file_may_have_is_refused(server: Live, labels: dict[str, Any]) -> None:
    reply = server.ask("PATCH", "/api/v1/experiments/sgd", {"labels": labels})
    assert reply.status == 400 and "labels" in reply.json()["error"]["message"]
    assert server.script.of("change_experiment") == []


def test_json_that_is_called_a_form_is_refused_with_the_remedy_and_without_a_name_it_is_taken(server: Live) -> None:
    server.script.answers["change_experiment"] = {}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = server.ask("PATCH", "/api/v1/experiments/sgd", b'{"budget": 3}', headers=form)
    assert reply.status == 400
    assert "Content-Type: application/json" in reply.json()["error"]["hint"]
    assert server.ask("PATCH", "/api/v1/experiments/sgd", b'{"budget": 3}').status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/experiments?limit=0",
        "/api/v1/experiments?limit=501",
        "/api/v1/experiments?before=yesterday",
        "/api/v1/experiments/sgd/trials?state=sleeping",
        "/api/v1/experiments/sgd/trials/0",
        "/api/v1/experiments/sgd/events?after=-1",
        "/api/v1/experiments/sgd/logs?trial=2147483648",
        "/api/v1/bundles/UPPER",
    ],
)
def test_a_query_that_does_not_fit_is_400(server: Live, path: str) -> None:
    reply = server.ask("GET", path)
    assert (reply.status, reply.json()["error"]["code"]) == (400, "bad_input")


def test_a_body_over_its_limit_is_refused_before_it_is_sent(server: Live) -> None:
    for method, path, limit in (
        ("POST", "/api/v1/sign-in", JSON_LIMIT),
        ("PATCH", "/api/v1/experiments/sgd", JSON_LIMIT),
        ("POST", "/api/v1/experiments", CREATE_LIMIT),
        ("POST", "/api/v1/workers/worker-1/register", JSON_LIMIT),
        ("POST", "/api/v1/workers/worker-1/work", WORK_LIMIT),
        ("POST", "/api/v1/workers/worker-1/artifacts", PART_LIMIT),
        ("PUT", f"/api/v1/workers/worker-1/uploads/{DIGEST}", PART_LIMIT),
        ("POST", "/api/v1/report/attempt/signature", REPORT_LIMIT),
        ("POST", "/sign-in", FORM_LIMIT),
    ):
        response = _announce(server, method, path, limit + 1)
        assert response.status == 413, path
        assert b'"too_large"' in response.read()


def test_of_whoever_guesses_the_address_of_a_report_nothing_is_read(server: Live) -> None:
    server.script.answers["check"] = Denied("this address is not genuine")
    assert _announce(server, "POST", "/api/v1/report/attempt/guess", 10).status == 403


def test_a_client_that_sends_too_much_hears_of_it_on_a_connection_that_goes_on(server: Live) -> None:
    connection = server.connect()
    for _ in range(2):
        reply = server.ask("POST", "/api/v1/experiments", b" " * (CREATE_LIMIT + 1), connection=connection)
        assert (reply.status, reply.json()["error"]["code"]) == (413, "too_large")
    assert server.ask("GET", "/healthz", connection=connection).status == 200


def test_a_body_whose_length_nobody_announced_is_counted(server: Live) -> None:
    def pieces() -> Any:
        for _ in range(CREATE_LIMIT // 2**20 + 1):
            yield b" " * 2**20

    connection = server.connect()
    connection.request(
        "POST", "/api/v1/experiments", pieces(), {"Authorization": f"Bearer {OWNER}"}, encode_chunked=True
    )
    response = connection.getresponse()
    assert (response.status, b'"too_large"' in response.read()) == (413, True)


def test_a_client_that_goes_away_in_its_request_is_no_fault(server: Live, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for path in ("/api/v1/workers/worker-1/work", "/api/v1/experiments"):
            connection = server.connect()
            connection.putrequest("POST", path)
            connection.putheader("Authorization", f"Bearer {OWNER}")
            connection.putheader("Content-Length", "100")
            connection.endheaders(b"{")
            connection.close()
        until(lambda: len(server.server.server_state.tasks) == 0, "requests end")
    assert caplog.text == ""


def test_a_slow_request_is_logged_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    with live(pace=ServerTimeouts(slow=0.0)) as server, caplog.at_level(logging.WARNING, "orchestune.server"):
        server.script.answers["statuses"] = {"items": [], "next": None}
        assert server.ask("GET", "/api/v1/experiments?folder=private").status == 200
        until(lambda: caplog.records, "a line is logged")
    record = caplog.records[0]
    assert record.getMessage() == "slow request"
    assert record.__dict__["path"] == "/api/v1/experiments"
    assert "private" not in str(record.__dict__)


def test_no_worker_of_another_version_makes_the_server_fail(server: Live) -> None:
    for path, body in (
        ("work", {"beat": 1, "want": 1}),
        ("work", {"boot": "b", "beat": "x", "want": 1}),
        ("work", {"boot": "b", "beat": 1, "want": 1, "wait": "long"}),
        ("register", {"boot": "b"}),
        ("artifacts", {"attempt": "a", "token": 1, "files": [1]}),
        ("checkpoint", {"attempt": "a"}),
    ):
        reply = server.ask("POST", f"/api/v1/workers/worker-1/{path}", body, token=WORKER)
        assert (reply.status, reply.json()["error"]["code"]) == (422, "invalid_call"), path


def _announce(server: Live, method: str, path: str, length: int) -> HTTPResponse:
    connection = server.connect()
    connection.putrequest(method, path)
    connection.putheader("Authorization", f"Bearer {OWNER}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    return connection.getresponse()
