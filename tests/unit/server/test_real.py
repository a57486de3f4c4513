"""The routes with the real use cases on a real store behind them."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pytest
from pydantic import TypeAdapter

from orchestune import documents
from orchestune.errors import StoreUnavailable
from orchestune.files.folder import FolderFiles
from orchestune.services.queries import read_server
from orchestune.services.signatures import report_signature, worker_token
from orchestune.store import logs as stored_logs
from tests.contract.world import CoreWorld
from tests.testbeds.disks import small_disk
from tests.unit.server.harness import Live, live, until
from tests.unit.server.test_streams import blocks

T = TypeVar("T")
OWNER = "secret-token"  # as the world has it
SPECIFICATION = {
    "name": "toy",
    "run": "echo loss={x}",
    "parameters": [{"name": "x", "type": "float", "min": 0, "max": 1}],
    "metrics": [{"name": "loss", "goal": "minimize"}],
    "budget": 2,
    "parallelism": 1,
    "engine": "random",
    "checkpoint_every": 60,
}
CREATE = {"specification": SPECIFICATION, "folder": "host:/p", "launch": {"env": {"PATH": "/bin"}}}


class Shop:
    """A world, its server, and the owner's and a worker's way to it."""

    def __init__(self, world: CoreWorld, server: Live) -> None:
        self.world, self.server = world, server
        self.beat = 0

    def ask(self, method: str, path: str, body: Any = None, expect: int = 200, **options: Any) -> Any:
        reply = self.server.ask(method, f"/api/v1{path}", body, **{"token": OWNER, **options})
        assert reply.status == expect, reply.body
        return reply.json() if reply.body else None

    def worker(self, experiment: str) -> str:
        """The id of a worker that was ordered for it, once there is something for it to do."""
        for _ in range(3):
            for controller in self.world.controllers:
                controller.tick()
        return next(order.worker for order in self.world.backend.orders.values() if order.experiment == experiment)

    def work(self, worker: str, token: str, **parts: Any) -> Any:
        self.beat += 1
        body = {"boot": "b", "beat": self.beat, "want": 0, "live": [], **parts}
        return self.ask("POST", f"/workers/{worker}/work", body, token=token)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    on_postgres = request.param == "postgresql"
    world = CoreWorld(tmp_path, request.getfixturevalue("postgres_database") if on_postgres else None)
    with live(world.core) as server:
        yield Shop(world, server)
    world.close()


def read(model: type[T], document: Any) -> T:
    """The document as its model; a key that the model does not know is a mistake of one of them."""
    return TypeAdapter(model).validate_python(document, extra="forbid")


def test_a_text_that_is_none_is_refused(shop: Shop) -> None:
    body = CREATE | {"specification": SPECIFICATION | {"name": "toy \ud800"}}
    answer = shop.ask("POST", "/experiments", body, expect=400)
    assert answer["error"]["code"] == "bad_input" and "unpaired surrogate" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"name": 5}, ("name", "must be text, found 5")),
        ({"timeout": "1h"}, ("timeout", "must be a finite number or null, found '1h'")),
        ({"checkpoint_every": True}, ("checkpoint_every", "must be a finite number or null, found True")),
        ({"labels": {"team": 1}}, ("labels.team", "must be text, found 1")),
        ({"run": ["train", 1]}, ("run[1]", "must be text, found 1")),
        ({"preload": [None]}, ("preload[0]", "must be text, found None")),
        ({"try_first": ["a"]}, ("try_first[0]", "must be an object, found 'a'")),
        ({"stop": {"patience": 1.5}}, ("stop.patience", "must be a whole number or null, found 1.5")),
        ({"metrics": [{"name": ["loss"], "goal": "minimize"}]}, ("metrics[0].name", "must be text, found ['loss']")),
        (
            {"metrics": [{"name": "loss", "goal": "least"}]},
            ("metrics[0].goal", "must be one of maximize, minimize, found 'least'"),
        ),
        ({"budget": 10**30}, ("budget", f"must be at most 1,000,000,000, found {10**30}")),
        ({"priority": -(10**30)}, ("priority", f"must be at least -1000, found {-(10**30)}")),
        ({"grace": -1}, ("grace", "must be at least 0, found -1.0")),
        ({"grace": 3601}, ("grace", "must be at most 3,600.0, found 3601.0")),
        (
            {"early_stopping": {"type": "median", "grace": 1e300}},
            ("early_stopping.grace", "must be at most 3,600.0, found 1e+300"),
        ),
        ({"placement": {"shm": -5}}, ("shm", "must be at least 0, found -5")),
        ({"resources": {"cpu": -1}}, ("resources.cpu", "must be at least 0.001, found -1")),
        ({"resources": {"gpu": -1}}, ("resources.gpu", "must be at least 0.001, found -1")),
        (
            {"resources": {"memory": 10**400}},
            ("resources.memory", f"must be at most {2**60:,}, found 1{'0' * 39}"),
        ),
    ],
)
def test_what_is_of_another_kind_than_a_specification_holds_is_refused_by_its_name(
    shop: Shop, changed: dict[str, Any], problem: tuple[str, str]
) -> None:
    answer = shop.ask("POST", "/experiments", {"specification": SPECIFICATION | changed}, expect=400)
    assert [(each["key"], each["message"]) for each in answer["error"]["problems"]] == [problem]


@pytest.mark.parametrize("prior", [{"weight": 1}, {"mean": 10**400, "std": 1}])
def test_a_prior_that_is_none_is_refused(shop: Shop, prior: dict[str, Any]) -> None:
    parameters = [{"name": "x", "type": "float", "min": 0, "max": 1, "prior": prior}]
    shop.ask("POST", "/experiments", {"specification": SPECIFICATION | {"parameters": parameters}}, expect=400)


def test_no_name_is_too_long_to_be_looked_for(shop: Shop) -> None:
    error = shop.ask("GET", f"/experiments/{'a' * 60_000}", expect=404)["error"]
    assert error["message"].startswith("there is no experiment 'aaa") and len(error["message"]) < 200


def test_each_count_below_one_is_refused_by_its_name(shop: Shop) -> None:
    counts = {"budget": 0, "parallelism": -1, "folds": {"count": 0}}
    answer = shop.ask("POST", "/experiments", {"specification": SPECIFICATION | counts}, expect=400)
    assert [(problem["key"], problem["message"]) for problem in answer["error"]["problems"]] == [
        ("budget", "must be at least 1, found 0"),
        ("parallelism", "must be at least 1, found -1"),
        ("folds", "must be at least 1, found 0"),
    ]


@pytest.mark.parametrize("size", [3 * 2**20, 2**20 + 3000])
def test_where_temporary_files_find_no_room_that_is_told(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with small_disk(tmp_path / "small", 1) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        answer = shop.ask("PUT", f"/bundles/{'a' * 64}", b"x" * size, expect=503)
        assert answer["error"]["message"] == f"no space is left for {disk}: No space left on device"


def test_an_experiment_runs_over_http_and_every_answer_is_what_the_document_says(shop: Shop) -> None:
    archive = gzip.compress(b"the code")
    digest = hashlib.sha256(archive).hexdigest()
    read(documents.Bundle, shop.ask("PUT", f"/bundles/{digest}", archive))
    created = shop.ask("POST", "/experiments", {**CREATE, "bundle": digest}, 201)
    ref = read(documents.Status, created)["handle"]
    worker = shop.worker(created["id"])
    token = worker_token(shop.world.core, worker, created["id"])
    hello = {"protocol": 2, "boot": "b", "node": "n", "version": "0", "pid": 1, "started": 0, "capabilities": []}
    registration = shop.ask("POST", f"/workers/{worker}/register", hello, token=token)
    assert registration["job"] == shop.ask("GET", f"/workers/{worker}/jobs/1", token=token)
    assert shop.server.ask("GET", f"/api/v1/bundles/{digest}", token=token).body == archive

    lease = shop.work(worker, token, want=1)["leases"][0]
    read(documents.Status, shop.ask("GET", f"/experiments/{ref}"))
    attempt = {"attempt": lease["attempt"], "token": lease["token"]}
    report = f"/report/{lease['attempt']}/{report_signature(shop.world.core, lease['attempt'])}"
    for body, status in (
        (b"other=0.5&step=1", 200),
        (b'{"half\\ud800": 1, "nul\\u0000": 2}', 200),
        (b'{"other": 1%s}' % (b"0" * 400), 200),
    ):
        shop.ask("POST", report, body, status, token=None)
    shop.ask("POST", report[:-1] + "!", b"other=0.5", 403, token=None)

    data = b"weights" * 1000
    blob = hashlib.sha256(data).hexdigest()
    assert shop.ask("PUT", f"/workers/{worker}/uploads/{blob}?offset=0", data[:5000], token=token) == {"size": 5000}
    upload = shop.server.ask("HEAD", f"/api/v1/workers/{worker}/uploads/{blob}", token=token)
    assert (upload.headers["x-size"], "x-complete" in upload.headers) == ("5000", False)
    assert shop.ask("PUT", f"/workers/{worker}/uploads/{blob}?offset=5000", data[5000:], token=token) == {"size": 7000}
    published = {**attempt, "digest": blob, "step": 3}
    assert shop.ask("POST", f"/workers/{worker}/checkpoint", published, token=token) == {"accepted": True}
    assert shop.server.ask("GET", f"/api/v1/workers/{worker}/blobs/{blob}", token=token).body == data
    files = {**attempt, "files": [{"path": "out/best.pt", "digest": blob, "size": 7000}]}
    assert shop.ask("POST", f"/workers/{worker}/artifacts", files, token=token) == {"kept": ["out/best.pt"]}

    finished = {
        **attempt,
        "state": "succeeded",
        "exit_code": 0,
        "signal": None,
        "reason": None,
        "wall": 1.0,
        "cpu": 0.5,
    }
    finished |= {"memory": 5, "points": [[0, "loss", 0.5, None, None]], "logs": [[0, "é\n", 0]], "log_bytes": 3}
    assert shop.work(worker, token, finished=[{**finished, "tail": "x"}])["acks"] == [
        {"attempt": lease["attempt"], "result": "ok"}
    ]

    trials = read(documents.TrialPage, shop.ask("GET", f"/experiments/{ref}/trials?state=completed"))
    assert [trial["number"] for trial in trials["items"]] == [1]
    assert "tail" not in trials["items"][0]["attempts"][0]
    trials = read(documents.TrialPage, shop.ask("GET", f"/experiments/{ref}/trials?tails=true"))
    trial = read(documents.Trial, shop.ask("GET", f"/experiments/{ref}/trials/1"))
    assert trial["attempts"][0]["tail"] == trials["items"][0]["attempts"][0]["tail"] == "x"
    artifacts = read(list[documents.Artifact], shop.ask("GET", f"/experiments/{ref}/trials/1/artifacts"))
    assert [artifact["path"] for artifact in artifacts] == ["out/best.pt"]
    path = f"/api/v1/experiments/{ref}/trials/1/artifacts/out/best.pt"
    assert shop.server.ask("GET", path, token=OWNER, headers={"Range": "bytes=6999-"}).body == b"s"
    best = read(list[documents.Best], shop.ask("GET", f"/experiments/{ref}/best"))
    assert best[0]["metrics"]["loss"]["value"] == 0.5
    events = read(documents.EventPage, shop.ask("GET", f"/experiments/{ref}/events?limit=1000"))
    assert [event["seq"] for event in events["items"]] == list(range(1, len(events["items"]) + 1))
    read(documents.LogPage, shop.ask("GET", f"/experiments/{ref}/logs"))
    read(documents.Specification, shop.ask("GET", f"/experiments/{ref}/specification"))
    read(documents.StatusPage, shop.ask("GET", "/experiments?folder=host:/p"))
    read(documents.Server, shop.ask("GET", "/server"))


def test_a_worker_that_has_ended_is_told_no_secrets(shop: Shop) -> None:
    secret = {"secrets": [{"name": "KEY", "source": "env:KEY"}]}
    body = CREATE | {"specification": SPECIFICATION | secret, "secrets": {"KEY": "hunter2"}}
    created = shop.ask("POST", "/experiments", body, 201)
    worker = shop.worker(created["id"])
    token = worker_token(shop.world.core, worker, created["id"])
    assert shop.ask("GET", f"/workers/{worker}/jobs/1", token=token)["secrets"] == {"KEY": "hunter2"}
    shop.ask("POST", f"/experiments/{created['id']}/stop")
    shop.world.backend.gone[worker] = ""
    shop.world.tick(3)
    assert b"hunter2" not in shop.server.ask("GET", f"/api/v1/workers/{worker}/jobs/1", token=token).body


@pytest.mark.parametrize("token", ["hunter2\r", "hunter2\nmore", "hunter2é"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(shop: Shop, token: str) -> None:
    tracked = {"mlflow": {"uri": "https://mlflow.example.org", "token": "env:MLFLOW", "experiment": ""}}
    body = CREATE | {"specification": SPECIFICATION | tracked}
    body |= {"outgoing": {"mlflow.uri": "https://mlflow.example.org", "mlflow.token": token}}
    answer = shop.ask("POST", "/experiments", body, 400)
    assert "mlflow.token" in answer["error"]["message"] and "hunter2" not in str(answer)


def test_a_long_poll_ends_as_soon_as_there_is_something_to_do(shop: Shop) -> None:
    created = shop.ask("POST", "/experiments", CREATE, 201)
    worker = shop.worker(created["id"])
    token = worker_token(shop.world.core, worker, created["id"])
    shop.ask("POST", f"/workers/{worker}/register", {"protocol": 2, "boot": "b", "node": "n"}, token=token)
    lease = shop.work(worker, token, want=1)["leases"][0]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(shop.work, worker, token, want=1, wait=30, live=[lease["attempt"]])
        until(lambda: shop.world.core.signals._waiting, "the call waits")
        shop.ask("POST", f"/experiments/{created['id']}/stop")
        assert waiting.result()["orders"][0]["order"] == "stop"


def test_a_stream_follows_an_experiment_to_its_end(shop: Shop) -> None:
    experiment = shop.world.create(budget=3, parallelism=1)
    headers = {"Accept": "text/event-stream"}
    response = shop.server.send("GET", f"/api/v1/experiments/{experiment}/events", token=OWNER, headers=headers)
    shop.world.run(experiment)
    shop.world.tick()
    events = [block for block in blocks(response) if "event" in block]
    numbers = [int(block["id"]) for block in events if "id" in block]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [block["event"] for block in events].count("trial_finished") == 3
    assert events[-1]["event"] == "end"
    logs = shop.server.send("GET", f"/api/v1/experiments/{experiment}/logs", token=OWNER, headers=headers)
    texts = [block for block in blocks(logs) if block.get("event") == "log"]
    assert len(texts) == 3


def test_what_is_written_while_a_page_is_read_is_told_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = shop.world.create(budget=3, parallelism=1)
    real = stored_logs.events_after

    def later(*args: Any) -> Any:
        shop.ask("PATCH", f"/experiments/{experiment}", {"labels": {"at": str(len(numbers))}})
        return real(*args)

    numbers, after = list[int](), 0
    with monkeypatch.context() as patch:
        patch.setattr(stored_logs, "events_after", later)
        for _ in range(4):
            page = shop.ask("GET", f"/experiments/{experiment}/events?after={after}")
            numbers, after = [*numbers, *(item["seq"] for item in page["items"])], page["next"]
    page = shop.ask("GET", f"/experiments/{experiment}/events?after={after}")
    numbers += [item["seq"] for item in page["items"]]
    assert numbers == list(range(1, page["next"] + 1))


def test_every_store_searches_the_list_and_counts_what_ran(shop: Shop) -> None:
    first, second = shop.world.create(budget=2, parallelism=1), shop.world.create(budget=2, parallelism=1)
    shop.ask("PATCH", f"/experiments/{first}", {"labels": {"team": "zz top"}})
    shop.world.run(first)
    page = shop.ask("GET", "/experiments?search=TEAM%3DZZ+top&sort=-progress&state=completed")
    read(documents.StatusPage, page)
    assert ([item["id"] for item in page["items"]], page["total"], page["known"]) == ([first], 1, 2)
    assert [item["id"] for item in shop.ask("GET", "/experiments?sort=age")["items"]] == [second, first]
    overview = shop.ask("GET", f"/experiments/{first}/overview")
    read(documents.Overview, overview)
    assert overview["failures"] == [] and max(overview["busy"]["running"]) > 0


def test_everything_an_owner_may_do_may_be_repeated(shop: Shop) -> None:
    ref = shop.ask("POST", "/experiments", CREATE, 201)["handle"]
    for _ in range(2):
        assert shop.ask("PATCH", f"/experiments/{ref}", {"budget": 5, "labels": {"a": "b"}})["budget"] == 5
        assert shop.ask("POST", f"/experiments/{ref}/pause", {"now": True})["desired"] == "paused"
    for _ in range(2):
        assert shop.ask("POST", f"/experiments/{ref}/resume")["desired"] == "running"
    queued = shop.ask("POST", f"/experiments/{ref}/trials", {"parameters": {"x": 0.25}}, 201)
    read(documents.Trial, queued)
    for _ in range(2):
        read(documents.Status, shop.ask("POST", f"/experiments/{ref}/stop"))
    rerun = shop.ask("POST", f"/experiments/{ref}/trials/1/rerun", {"continue": False}, 201)
    assert read(documents.Status, rerun)["origin"] == f"{ref}/1"
    for _ in range(2):
        shop.ask("DELETE", f"/experiments/{ref}", expect=204)
    listed = shop.ask("GET", "/experiments")["items"]
    assert [item["handle"] for item in listed] == [rerun["handle"]]


def test_a_repeated_key_creates_one_experiment(shop: Shop) -> None:
    answers = [shop.ask("POST", "/experiments", CREATE, 201, headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert len(shop.ask("GET", "/experiments")["items"]) == 1
    shop.ask("POST", "/experiments", {**CREATE, "folder": "x"}, 409, headers={"Idempotency-Key": "k"})


def test_probes_tell_of_the_store(shop: Shop) -> None:
    assert shop.server.ask("GET", "/readyz", token=None).status == 200
    assert b'orchestune_trials{state="running"}' in shop.server.ask("GET", "/metrics", token=OWNER).body


def test_a_check_writes_a_file_too_and_leaves_none(shop: Shop, tmp_path: Path) -> None:
    shop.ask("POST", "/server/check", expect=204)
    assert list(shop.world.core.files.keys("checks/")) == []
    shutil.rmtree(tmp_path / "files")
    (tmp_path / "files").write_bytes(b"where the folder would be")
    refused = shop.ask("POST", "/server/check", expect=503)
    assert refused["error"]["code"] == "store_unavailable" and str(tmp_path / "files") in refused["error"]["message"]


def test_a_check_waits_no_longer_than_who_asks_for_files_that_are_silent(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, ended = threading.Event(), threading.Event()

    class Silent(FolderFiles):
        def put(self, key: str, data: BinaryIO) -> int:
            is_asked.set()
            ended.wait(60)
            return super().put(key, data)

    monkeypatch.setattr(read_server, "_FILES_SECONDS", 0.1)
    with pytest.raises(StoreUnavailable, match="does not respond"):
        read_server.check(replace(shop.world.core, files=Silent(tmp_path / "silent")))
    assert is_asked.wait(60)
    ended.set()


def test_an_experiment_is_of_whom_its_token_names_or_of_whoever_says_a_name_where_it_names_nobody(
    tmp_path: Path,
) -> None:
    world = CoreWorld(tmp_path)
    core = replace(world.core, owners={"the-token-of-ada": "ada", "a-token-of-nobody": "owner"})
    with live(core) as server:
        for token, named, owner in (
            ("the-token-of-ada", "root", "ada"),
            ("a-token-of-nobody", "grace", "grace"),
            ("a-token-of-nobody", "", "owner"),
        ):
            headers = {"Orchestune-User": named} if named else {}
            reply = server.ask("POST", "/api/v1/experiments", CREATE, token=token, headers=headers)
            assert (reply.status, reply.json()["owner"]) == (201, owner)
            events = server.ask("GET", f"/api/v1/experiments/{reply.json()['id']}/events", token=token).json()
            assert events["items"][0]["actor"] == owner
    world.close()


def test_the_token_of_a_worker_opens_nothing_once_that_has_ended(shop: Shop) -> None:
    created = shop.ask("POST", "/experiments", CREATE, 201)
    worker = shop.worker(created["id"])
    token = worker_token(shop.world.core, worker, created["id"])
    shop.ask("POST", f"/experiments/{created['id']}/stop")
    shop.world.backend.gone[worker] = ""
    shop.world.tick(3)
    uploads = f"/workers/{worker}/uploads/{hashlib.sha256(b'late').hexdigest()}"
    shop.ask("PUT", uploads, b"late", expect=410, token=token)
    for path in (f"/bundles/{'a' * 64}", f"/workers/{worker}/blobs/{'a' * 64}"):
        assert shop.ask("GET", path, expect=410, token=token)["error"]["code"] == "gone"
    assert not list(shop.world.core.files.keys(""))


def test_a_worker_that_is_lost_and_comes_back_hands_in_what_it_has(shop: Shop) -> None:
    created = shop.ask("POST", "/experiments", CREATE, 201)
    worker = shop.worker(created["id"])
    token = worker_token(shop.world.core, worker, created["id"])
    shop.ask("POST", f"/workers/{worker}/register", {"protocol": 2, "boot": "b", "node": "n"}, token=token)
    lease = shop.work(worker, token, want=1)["leases"][0]
    for _ in range(40):
        shop.world.clock.pass_time(1)
        shop.world.core.listening.tick(shop.world.clock.monotonic())  # the server's loop does so four times a second
        shop.world.tick()
    workers = shop.ask("GET", f"/experiments/{created['id']}")["workers"]
    assert {worker_state["id"]: worker_state["state"] for worker_state in workers}[worker] == "lost"
    shop.server.server.config.app.state.context.callers.clear()  # type: ignore[union-attr]
    data = b"weights"
    digest = hashlib.sha256(data).hexdigest()
    shop.ask("PUT", f"/workers/{worker}/uploads/{digest}?offset=0", data, token=token)
    files = {
        "attempt": lease["attempt"],
        "token": lease["token"],
        "files": [{"path": "a", "digest": digest, "size": 7}],
    }
    assert shop.ask("POST", f"/workers/{worker}/artifacts", files, token=token) == {"kept": ["a"]}
