from __future__ import annotations

import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from starlette.routing import Route

from orchestune.errors import StoreUnavailable
from orchestune.server.app import create_app
from orchestune.server.thread_pools import ANALYSIS_THREADS, STREAM_THREADS
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.commands.create_experiment import NewExperiment
from orchestune.services.commands.rerun_trial import Rerun
from orchestune.services.core import Caller, Core
from orchestune.wire.files import KeepArtifacts, PublishCheckpoint
from orchestune.wire.registration import Registration
from tests.unit.server.harness import OWNER, TIMEOUT, Live, live, until

PROTOCOL = Path(__file__).parents[3] / "docs/reference/protocol.md"
DIGEST = "a" * 64
X = "/api/v1/experiments"
ADA = Caller("ada", "owner")
W = "/api/v1/workers/worker-1"
CREATE = {
    "specification": {"name": "sgd"},
    "folder": "host:/p",
    "secrets": {"KEY": "v"},
    "outgoing": {"notify.0.url": "https://a"},
}


@pytest.mark.parametrize(
    ("method", "path", "body", "service", "arguments", "status"),
    [
        ("POST", X, CREATE, "create_experiment", None, 201),
        ("GET", f"{X}", None, "statuses", (None, 50, None, False, False, None), 200),
        (
            "GET",
            f"{X}?folder=h:/p&limit=7&before=17.5&hidden=true&details=true",
            None,
            "statuses",
            ("h:/p", 7, "17.5", True, True, None),
            200,
        ),
        ("GET", f"{X}/sgd", None, "status", ("sgd",), 200),
        ("GET", f"{X}/sgd/specification", None, "specification", ("sgd", None, ADA), 200),
        ("GET", f"{X}/sgd/specification?revision=2", None, "specification", ("sgd", 2, ADA), 200),
        (
            "PUT",
            f"{X}/sgd/code",
            {"bundle": DIGEST, "launch": {"root": "/p"}},
            "change_code",
            ("sgd", DIGEST, {"root": "/p"}, "ada"),
            200,
        ),
        ("PATCH", f"{X}/sgd", {"budget": 9}, "change_experiment", ("sgd", Changes(budget=9), "ada"), 200),
        ("POST", f"{X}/sgd/pause", {"now": True}, "pause", ("sgd", True, "ada"), 200),
        ("POST", f"{X}/sgd/pause", None, "pause", ("sgd", False, "ada"), 200),
        ("POST", f"{X}/sgd/resume", {}, "resume", ("sgd", "ada", {}), 200),
        ("POST", f"{X}/sgd/stop", None, "stop", ("sgd", "ada"), 200),
        ("DELETE", f"{X}/sgd", None, "delete", ("sgd", False, "ada"), 204),
        ("DELETE", f"{X}/sgd?purge=true", None, "delete", ("sgd", True, "ada"), 204),
        ("GET", f"{X}/sgd/best", None, "best", ("sgd",), 200),
        ("GET", f"{X}/sgd/trials", None, "trials", ("sgd", 0, 100, None, False), 200),
        ("GET", f"{X}/sgd/trials?after=3&limit=2&state=failed", None, "trials", ("sgd", 3, 2, "failed", False), 200),
        ("GET", f"{X}/sgd/trials?tails=true", None, "trials", ("sgd", 0, 100, None, True), 200),
        ("GET", f"{X}/sgd/trials/3", None, "trial", ("sgd", 3), 200),
        (
            "POST",
            f"{X}/sgd/trials",
            {"parameters": {"lr": 0.1, "amp": True}},
            "queue_trial",
            ("sgd", {"lr": 0.1, "amp": True}, "ada", None),
            201,
        ),
        (
            "POST",
            f"{X}/sgd/trials/3/rerun",
            {"continue": True},
            "rerun_trial",
            ("sgd", 3, Rerun(from_checkpoint=True), "ada"),
            201,
        ),
        ("POST", f"{X}/sgd/trials/3/stop", {}, "stop_trial", ("sgd", 3, "ada"), 200),
        ("POST", f"{X}/sgd/trials/3/rerun", None, "rerun_trial", ("sgd", 3, Rerun(), "ada"), 201),
        ("GET", f"{X}/sgd/trials/3/artifacts", None, "artifacts", ("sgd", 3), 200),
        ("GET", f"{X}/sgd/contour?x=a&y=b&metric=c", None, "contour", ("sgd", "a", "b", "c"), 200),
        ("GET", f"{X}/sgd/trials/3/usage", None, "usage", ("sgd", 3), 200),
        ("GET", f"{X}/sgd/code", None, "code", ("sgd", None), 200),
        ("GET", f"{X}/sgd/code?trial=3", None, "code", ("sgd", 3), 200),
        ("GET", f"{X}/sgd/code/a/b.py?trial=3", None, "text", ("sgd", 3, "a/b.py"), 200),
        ("GET", "/api/v1/diff?old=sgd/3&new=b-1/2", None, "diff", ("sgd/3", "b-1/2"), 200),
        ("GET", f"{X}/sgd/events?after=4&limit=5&kind=a&kind=b", None, "events", ("sgd", 4, 5, ["a", "b"]), 200),
        (
            "GET",
            f"{X}/sgd/logs?after=4&limit=5&trial=2&since=2026-01-31T12:00:00Z&tail=9",
            None,
            "logs",
            ("sgd", 4, 5, 2, "2026-01-31T12:00:00Z", 9),
            200,
        ),
        (
            "POST",
            f"{W}/register",
            {"protocol": 2, "boot": "b", "node": "n"},
            "register",
            ("worker-1", Registration(protocol=2, boot="b", node="n")),
            200,
        ),
        ("POST", "/api/v1/server/check", None, "check", (), 204),
        ("GET", f"{W}/jobs/2", None, "job", ("worker-1", 2), 200),
        ("PUT", f"{W}/uploads/{DIGEST}?offset=7", b"bytes", "append", ("worker-1", DIGEST, 7, b"bytes"), 200),
        (
            "POST",
            f"{W}/artifacts",
            {"attempt": "a", "token": 1, "files": []},
            "keep_artifacts",
            ("worker-1", KeepArtifacts(attempt="a", token=1, files=())),
            200,
        ),
        (
            "POST",
            f"{W}/checkpoint",
            {"attempt": "a", "token": 1, "digest": DIGEST, "step": None},
            "checkpoint",
            ("worker-1", PublishCheckpoint(attempt="a", token=1, digest=DIGEST)),
            200,
        ),
    ],
)
def test_each_route_calls_its_use_case_and_gives_its_answer(
    server: Live, method: str, path: str, body: Any, service: str, arguments: Any, status: int
) -> None:
    answer = {"items": [{"a": 1}], "next": 3}
    server.script.answers[service] = None if status == 204 else answer
    reply = server.ask(method, path, body)
    assert reply.status == status, reply.body
    assert reply.body == (b"" if status == 204 else b'{"items":[{"a":1}],"next":3}')
    if arguments is not None:
        assert server.script.of(service) == [arguments]


def test_an_experiment_is_created_with_everything_that_was_sent(server: Live) -> None:
    server.script.answers["create_experiment"] = {}
    server.ask("POST", X, {**CREATE, "launch": {"env": {"PATH": "/bin"}, "root": "/p", "links": ["data"]}})
    ((new, actor),) = server.script.of("create_experiment")
    assert actor == "ada"
    assert new == NewExperiment(
        specification={"name": "sgd"},
        folder="host:/p",
        secrets={"KEY": "v"},
        outgoing={"notify.0.url": "https://a"},
        launch={"env": {"PATH": "/bin"}, "root": "/p", "links": ["data"]},
    )


def test_the_server_says_which_it_is(server: Live) -> None:
    document = server.ask("GET", "/api/v1/server").json()
    assert document["protocol"] == 1
    assert document["started_at"] == "2026-01-31T12:00:00.000Z"
    assert set(document) == {"version", "protocol", "home", "started_at", "pid"}


def test_an_owner_may_end_the_server(server: Live) -> None:
    assert server.ask("POST", "/api/v1/shutdown", {}).json() == {"draining": True}
    assert server.ordered == ["shutdown"]


def test_an_upload_tells_how_far_it_is(server: Live) -> None:
    server.script.answers["state"] = (12, False)
    reply = server.ask("HEAD", f"{W}/uploads/{DIGEST}")
    assert (reply.status, reply.headers["x-size"], "x-complete" in reply.headers) == (200, "12", False)
    server.script.answers["state"] = (20, True)
    assert server.ask("HEAD", f"{W}/uploads/{DIGEST}").headers["x-complete"] == "1"


def test_where_the_place_for_files_hangs_those_who_ask_for_nothing_there_are_answered(server: Live) -> None:
    go_on = threading.Event()
    server.script.answers["state"] = lambda *args: (12, not go_on.wait(120))
    server.script.answers["experiment"] = {"handle": "sgd"}
    server.script.answers |= {"status": {"handle": "sgd"}, "trial": {}, "logs": {"items": [], "next": 0}}
    with ThreadPoolExecutor(12) as pool:
        hanging = [pool.submit(server.ask, "HEAD", f"{W}/uploads/{DIGEST}") for _ in range(12)]
        until(lambda: len(server.server.server_state.tasks) == 12, "all have come")
        try:
            for path in (f"{X}/sgd", f"{X}/sgd/trials/3", f"{X}/sgd/logs"):
                assert server.ask("GET", path).status == 200
        finally:
            go_on.set()
        assert {reply.result().status for reply in hanging} == {200}


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", f"{X}/sgd/trials/3/artifacts/a", "open_artifact"),
        ("GET", f"{X}/sgd/archive", "open_archive"),
        ("GET", f"/api/v1/bundles/{DIGEST}", "open_bundle"),
        ("HEAD", f"/api/v1/bundles/{DIGEST}", "has"),
        ("PUT", f"/api/v1/bundles/{DIGEST}", "store"),
        ("POST", "/api/v1/archive", "read"),
        ("GET", f"{X}/sgd/logs", "logs"),
        ("GET", f"{X}/sgd/trials/3", "trial"),
    ],
)
def test_whoever_waits_for_the_place_for_files_keeps_nobody_else(
    server: Live, method: str, path: str, service: str
) -> None:
    go_on = threading.Event()

    def hangs(*args: object) -> Any:
        go_on.wait(2 * TIMEOUT)
        raise StoreUnavailable("it does not answer")

    server.script.answers |= {service: hangs, "status": {"handle": "sgd"}}
    with ThreadPoolExecutor(12) as pool:
        hanging = [pool.submit(server.ask, method, path, None if method == "GET" else b"x") for _ in range(12)]
        until(lambda: len(server.server.server_state.tasks) == 12, "all have come")
        try:
            assert server.ask("GET", f"{X}/sgd").status == 200
        finally:
            go_on.set()
        assert {reply.result().status for reply in hanging} == {503}


def test_a_bundle_is_there_or_not(server: Live) -> None:
    server.script.answers["has"] = lambda core, digest: digest == DIGEST
    assert server.ask("HEAD", f"/api/v1/bundles/{DIGEST}").status == 200
    assert server.ask("HEAD", f"/api/v1/bundles/{'b' * 64}").status == 404


def test_an_answer_without_a_body_has_its_error_in_a_header(server: Live) -> None:
    server.script.answers["has"] = full = StoreUnavailable("the disk of the store is full", "free some “space”")
    reply = server.ask("HEAD", f"/api/v1/bundles/{DIGEST}")
    assert (reply.status, json.loads(reply.headers["orchestune-error"])) == (503, full.to_json())
    server.script.answers["store"] = full
    assert "orchestune-error" not in server.ask("PUT", f"/api/v1/bundles/{DIGEST}", b"code").headers


@pytest.mark.parametrize("size", [0, 10, 3 * 2**20 + 7])
def test_a_bundle_of_any_size_reaches_the_store_whole(server: Live, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    bodies = []

    def store(core: object, digest: str, stream: io.BufferedIOBase) -> dict[str, object]:
        bodies.append(stream.read())
        return {"digest": digest, "size": len(bodies[0])}

    server.script.answers["store"] = store
    reply = server.ask("PUT", f"/api/v1/bundles/{DIGEST}", content[:size], headers={"Content-Type": "application/gzip"})
    assert reply.json() == {"digest": DIGEST, "size": size}
    assert bodies == [content[:size]]


@pytest.mark.parametrize(
    ("path", "service"),
    [
        (f"/api/v1/bundles/{DIGEST}", "open_bundle"),
        (f"{W}/blobs/{DIGEST}", "open_blob"),
        (f"{X}/sgd/trials/3/artifacts/plots/a%20b.png", "open_artifact"),
    ],
)
def test_a_file_comes_whole_or_from_the_middle_on_and_is_closed(server: Live, path: str, service: str) -> None:
    content = bytes(range(256)) * 3000
    opened = []

    def open_file(core: object, *args: object) -> tuple[io.BytesIO, int]:
        opened.append(io.BytesIO(content))
        return opened[-1], len(content)

    server.script.answers[service] = open_file
    whole = server.ask("GET", path)
    assert (whole.status, whole.body == content, whole.headers["content-length"]) == (200, True, str(len(content)))
    rest = server.ask("GET", path, headers={"Range": "bytes=600000-"})
    assert (rest.status, rest.body == content[600000:]) == (206, True)
    assert rest.headers["content-range"] == f"bytes 600000-{len(content) - 1}/{len(content)}"
    beyond = server.ask("GET", path, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert f"expected less than {len(content)}" in beyond.json()["error"]["message"]
    until(lambda: [file.closed for file in opened] == [True] * 3, "every file is closed")
    if service == "open_artifact":
        assert server.script.of(service)[0] == ("sgd", 3, "plots/a b.png")


def test_downloads_that_hang_keep_no_stream_waiting(server: Live) -> None:
    goes_on = threading.Event()

    class Hanging(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            goes_on.wait(2 * TIMEOUT)
            return super().read(size)

    server.script.answers |= {"open_artifact": lambda core, *args: (Hanging(b"x"), 1), "status": {"id": "exp-1"}}
    with ThreadPoolExecutor(STREAM_THREADS) as pool:  # the head of a response comes with the first bytes of its body
        downloads = [pool.submit(server.ask, "GET", f"{X}/sgd/trials/3/artifacts/a") for _ in range(STREAM_THREADS)]
        try:
            until(lambda: len(server.script.of("open_artifact")) == STREAM_THREADS, "all read")
            stream = server.stream(f"{X}/sgd")
            assert any(line.startswith(b"event: status") for line in iter(stream.readline, b""))
        finally:
            goes_on.set()
        assert [download.result().body for download in downloads] == [b"x"] * STREAM_THREADS


@pytest.mark.parametrize(
    ("path", "service"),
    [(f"{X}/sgd/logs", "logs"), (f"{X}/sgd/trials/{{}}", "trial"), (f"{X}/sgd?logs=true&trial={{}}", "logs")],
)
def test_logs_that_hang_keep_no_other_stream_waiting(server: Live, path: str, service: str) -> None:
    goes_on = threading.Event()

    def hangs(*args: object, **more: object) -> Any:
        goes_on.wait(2 * TIMEOUT)
        raise StoreUnavailable("it does not answer")

    server.script.answers |= {service: hangs, "status": {"id": "exp-1"}, "end": 7}
    with ThreadPoolExecutor(STREAM_THREADS) as pool:
        hanging = [pool.submit(server.stream, path.format(number)) for number in range(1, STREAM_THREADS + 1)]
        until(lambda: len(server.script.of(service)) == STREAM_THREADS, "all read")
        try:
            stream = server.stream(f"{X}/sgd")
            assert any(line.startswith(b"event: status") for line in iter(stream.readline, b""))
        finally:
            goes_on.set()
        assert {stream.result().status for stream in hanging} <= {200, 503}


def test_what_takes_long_to_compute_keeps_nobody_else_waiting(server: Live) -> None:
    goes_on = threading.Event()

    def computed(core: object, *args: object) -> dict[str, Any]:
        goes_on.wait(2 * TIMEOUT)
        return {}

    server.script.answers |= dict.fromkeys(("importance", "explain", "code", "text", "diff"), computed)
    server.script.answers["statuses"] = {"items": [], "next": None}
    paths = [f"{X}/sgd/{part}" for part in ("importance", "explain", "code", "code/a.py")] + [
        "/api/v1/diff?old=a/1&new=a/2"
    ]
    with ThreadPoolExecutor(3 * len(paths)) as pool:
        replies = [pool.submit(server.ask, "GET", path) for path in 3 * paths]
        try:
            until(lambda: len(server.script.calls) >= ANALYSIS_THREADS, "some are computed")
            assert server.ask("GET", X).status == 200
        finally:
            goes_on.set()
    assert [reply.result().status for reply in replies] == [200] * len(replies)


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        (f"{X}/sgd", OWNER, 200),
        (f"{X}/sgd/trials/3/artifacts/style.css", OWNER, 200),
        (f"{X}/sgd/trials/0/artifacts/style.css", OWNER, 400),
        (f"{X}/sgd/trials/3/artifacts/style.css", None, 401),
        ("/api/v1/nothing.js", OWNER, 404),
        ("/metrics", OWNER, 200),
    ],
)
def test_nothing_keeps_an_answer_on_its_way(server: Live, path: str, token: str | None, status: int) -> None:
    server.script.answers |= {"open_artifact": lambda core, *args: (io.BytesIO(b"x"), 1), "status": {}}
    reply = server.ask("GET", path, token=token)
    assert (reply.status, reply.headers.get("cache-control")) == (status, "no-store")


def test_a_file_may_have_any_name(server: Live) -> None:
    server.script.answers["open_artifact"] = lambda core, *args: (io.BytesIO(b"x"), 1)
    names = ["a\nb", "a\rb", "#?%41;x=1", "\x1b[31m", "a\\b", " ", "é"]
    for name in names:
        assert server.ask("GET", f"{X}/sgd/trials/3/artifacts/{quote(name)}").body == b"x"
    assert [args[-1] for args in server.script.of("open_artifact")] == names


def test_a_download_that_breaks_off_leaves_no_file_open(server: Live) -> None:
    opened = [io.BytesIO(bytes(64 * 2**20))]
    server.script.answers["open_bundle"] = (opened[0], 64 * 2**20)
    response = server.send("GET", f"/api/v1/bundles/{DIGEST}")
    assert response.read(1000) == bytes(1000)
    response.close()
    server.hang_up()
    until(lambda: opened[0].closed, "the file is closed")


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"accuracy=0.92&step=3", {"accuracy": "0.92", "step": "3"}),
        (b"val%2Floss=1e-3", {"val/loss": "1e-3"}),
        (b'{"accuracy": 0.92, "step": 3}', {"accuracy": 0.92, "step": 3}),
    ],
)
def test_a_report_is_a_form_or_json_and_needs_no_token(server: Live, body: bytes, values: dict[str, Any]) -> None:
    server.script.answers["report"] = answer = {"stop": False, "reason": None}
    reply = server.ask("POST", "/api/v1/report/attempt/signature", body, token=None)
    assert (reply.status, reply.json()) == (200, answer)
    assert server.script.of("report") == [("attempt", "signature", values)]


def test_a_trial_asks_whether_to_stop_without_a_token(server: Live) -> None:
    answer = {"stop": True, "reason": {"code": "pruned", "message": "asha: behind"}}
    server.script.answers["should_stop"] = answer
    reply = server.ask("GET", "/api/v1/report/attempt/signature", token=None)
    assert (reply.status, reply.json()) == (200, answer)


@pytest.mark.parametrize("body", [b"", b"accuracy", b"{", b"\xff=1"])
def test_a_report_that_says_nothing_is_400(server: Live, body: bytes) -> None:
    assert server.ask("POST", "/api/v1/report/attempt/signature", body, token=None).status == 400


def test_metrics_are_prometheus_text(server: Live) -> None:
    server.script.answers["metrics"] = [
        ("orchestune_trials", {"state": "running"}, 3),
        ("orchestune_restarts_total", {}, 1.5),
        ("orchestune_trials", {"state": 'a"b\\c\nd'}, 2),
    ]
    reply = server.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert reply.body.decode() == (
        "# HELP orchestune_trials Trials of all experiments, deleted ones with them until they are purged.\n"
        "# TYPE orchestune_trials gauge\n"
        'orchestune_trials{state="running"} 3\n'
        'orchestune_trials{state="a\\"b\\\\c\\nd"} 2\n'
        "# TYPE orchestune_restarts_total counter\n"
        "orchestune_restarts_total 1.5\n"
    )


def test_numbers_that_json_lacks_are_words(server: Live) -> None:
    server.script.answers["best"] = [{"metrics": {"loss": {"value": float("nan"), "stddev": float("-inf")}}}]
    reply = server.ask("GET", f"{X}/sgd/best")
    assert reply.body == b'[{"metrics":{"loss":{"value":"nan","stddev":"-inf"}}}]'


def _documented() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| `(GET|HEAD|POST|PUT|PATCH|DELETE) (/api/v1/[^`?]*)", PROTOCOL.read_text(), re.MULTILINE)
    assert len(rows) > 30
    return rows


@pytest.mark.parametrize(("method", "path"), _documented())
def test_every_route_of_the_protocol_is_there(server: Live, method: str, path: str) -> None:
    for word, value in {"DIGEST": DIGEST, "REF": "sgd", "ID": "worker-1", "REVISION": "1", "PATH": "a"}.items():
        path = path.replace(word, value)
    path = re.sub(r"/N\b", "/3", path)
    reply = server.ask(method, path, b"{" if method in ("POST", "PATCH", "PUT") else None)
    # nothing is scripted: what is there fails inside, or at the body; what is not is 404 or 405
    assert reply.status in (200, 204, 400, 422, 500), reply.body


def test_the_openapi_document_describes_every_route() -> None:
    with live() as server:
        document = server.ask("GET", "/api/v1/openapi.json").json()
    described = {
        (method.upper(), re.sub(r"{\w+}", "*", path)) for path, item in document["paths"].items() for method in item
    }
    names = r"\b(DIGEST|REF|N|PATH|ID|NODE|REVISION|ATTEMPT|SIGNATURE)\b"
    documented = {
        (method, re.sub(names, "*", path))
        for method, path in re.findall(r"^\| `(\w+) (/api/v1/[^`?]*)", PROTOCOL.read_text(), re.MULTILINE)
    }
    assert described - documented == set(), "docs/reference/protocol.md does not list them"
    assert documented - described == set()
    create = document["paths"]["/api/v1/experiments"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/CreateExperiment")
    assert create["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/Status")
    assert create["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    assert "422" not in create["responses"]
    assert create["security"]
    assert "securitySchemes" in document["components"]


def test_no_request_waits_for_a_route_to_be_made() -> None:
    kinds = {type(route) for route in create_app(cast(Core, None), on_shutdown=lambda: None).routes}
    assert all(issubclass(kind, Route) for kind in kinds), f"an included router copies its routes: {kinds}"
