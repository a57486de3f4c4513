"""Attack: documents that no worker sends, with a worker's token. The server refuses them, and other trials continue."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from orchestune.services.execution import register_worker, uploads
from orchestune.services.execution import worker_call as service
from orchestune.services.queries import read_experiments
from orchestune.store import artifacts, workers
from orchestune.wire.answers import Published
from orchestune.wire.registration import PROTOCOL, Registration
from tests.contract.world import CoreWorld, FakeWorker
from tests.unit.server.harness import Live, live

WRONG: tuple[Any, ...] = (
    None, True, -1, 1.5, 2**63, 10**40, "", "x", "\0", "\ud800", [], [[]], {}, {"a": 1}, [{}], "x" * 3000,
)  # fmt: skip


@pytest.fixture
def server(world: CoreWorld) -> Iterator[Live]:
    with live(world.core) as started:
        yield started


def changed(chance: random.Random, document: Any) -> Any:
    """Return the document with one value, at any depth, replaced by a wrong one or left out."""
    if isinstance(document, dict) and document and chance.random() < 0.9:
        key = chance.choice(sorted(document))
        rest = {name: value for name, value in document.items() if name != key}
        return rest if chance.random() < 0.15 else rest | {key: changed(chance, document[key])}
    if isinstance(document, list) and document and chance.random() < 0.9:
        index = chance.randrange(len(document))
        return [*document[:index], changed(chance, document[index]), *document[index + 1 :]]
    return chance.choice(WRONG)


def calls(worker: FakeWorker, lease: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each call of a worker as it should be, by its route."""
    owned = {"attempt": lease["attempt"], "token": lease["token"]}
    usage = [[0, 1.0, 1.0, 1.0, None, None]]
    beat = owned | {
        "started": True,
        "age": 0.1,
        "logs": [[0, "x", 0]],
        "points": [[0, "loss", 1.0, None, None]],
        "usage": usage,
    }
    end = worker.finish(lease) | {"reason": {"code": "exit_code", "message": "exit code 1"}, "usage": usage}
    return {
        "work": {"boot": worker.boot, "beat": 1, "want": 0, "wait": 0, "live": [lease["attempt"]],
                 "beats": [beat], "finished": [end]},
        "register": {"protocol": 2, "version": "1", "boot": worker.boot, "node": "n", "capabilities": []},
        "artifacts": owned | {"files": [{"path": "a", "digest": "0" * 64, "size": 1}], "more": False, "refused": "x"},
        "checkpoint": owned | {"digest": "0" * 64, "step": 3, "age": 1.0},
        "terminal": owned | {"after": 0, "data": "", "at": 0, "wait": 0},
    }  # fmt: skip


def test_no_document_of_a_worker_is_a_fault_of_the_server(
    world: CoreWorld, server: Live, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(3)
    faults = []
    world.create(budget=1000, parallelism=2, env={"ORCHESTUNE_TERMINAL": "{}"})
    (worker, lease), (other, running) = world.lease(2)
    other.call(beats=[other.started(running)])
    with requests.Session() as session, caplog.at_level(logging.ERROR):
        for count in range(400):
            route, body = chance.choice(sorted(calls(worker, lease).items()))
            body = changed(chance, body)
            answer = session.request(
                "PUT" if route == "terminal" else "POST",
                f"http://127.0.0.1:{server.port}/api/v1/workers/{worker.id}/{route}",
                data=json.dumps(body),
                headers={"Authorization": f"Bearer {worker.token}", "Content-Type": "application/json"},
                timeout=60,
            )
            waits = answer.status_code == 503  # for an upload, or for the end of the attempt
            if answer.status_code >= 500 and not waits:
                faults.append(f"{count}: {route} {body!r:.500}: {answer.status_code} {answer.text}")
    assert faults == []
    assert [record for record in caplog.records if record.exc_info] == []
    assert (
        running["attempt"] in other.leases and other.call(finished=[other.finish(running)])["acks"][0]["result"] == "ok"
    )


def test_worker_cannot_report_on_attempts_of_another(world: CoreWorld) -> None:
    world.create(parallelism=2)
    (attacker, own), (victim, lease) = world.lease(2)
    invalid = attacker.finish(lease) | {"wall": -1}
    assert attacker.call(finished=[attacker.finish(lease)])["acks"][0]["result"] == "unknown"
    assert attacker.call(finished=[invalid])["acks"][0]["result"] == "rejected"
    assert attacker.call(beats=[attacker.started(lease)])["acks"][0]["result"] == "unknown"
    assert victim.call(beats=[victim.started(lease)])["acks"][0]["result"] == "ok"
    assert victim.call(finished=[victim.finish(lease)])["acks"][0]["result"] == "ok"
    assert attacker.call(finished=[attacker.finish(own)])["acks"][0]["result"] == "ok"


def test_times_of_a_worker_can_be_shown(world: CoreWorld, server: Live) -> None:
    experiment = world.create(parallelism=2)
    (worker, lease), (other, second) = world.lease(2)
    assert worker.call(beats=[worker.started(lease) | {"age": 1e9}])["acks"][0]["result"] == "ok"
    assert worker.call(finished=[worker.finish(lease) | {"wall": 1e9}])["acks"][0]["result"] == "ok"
    assert other.call(beats=[other.started(second) | {"age": 1e12}])["acks"][0]["result"] == "rejected"
    for path in ("experiments?details=true", f"experiments/{experiment}", f"experiments/{experiment}/trials/1"):
        assert server.ask("GET", f"/api/v1/{path}", token="secret-token").status == 200


def node_of(world: CoreWorld, worker: FakeWorker) -> str:
    """The machine to which the failures of a worker are counted."""
    with world.core.store.reading() as session:
        row = workers.get(session, worker.id)
    assert row is not None
    return str(row.node)


def test_worker_cannot_accuse_a_machine_on_which_it_does_not_run(world: CoreWorld) -> None:
    world.create()
    ((attacker, _),) = world.lease(1)
    call = Registration(protocol=PROTOCOL, boot=attacker.boot, node="machine-of-others")
    register_worker.register(world.core, attacker.id, call)
    assert node_of(world, attacker) == "here"


def test_failures_count_against_the_machine_that_the_backend_names(world: CoreWorld) -> None:
    world.create()
    ((worker, _),) = world.lease(1)
    world.backend.nodes[worker.id] = "n7"  # its image may have said anything when it registered first
    world.tick()
    assert node_of(world, worker) == "n7"


def test_one_worker_occupies_one_thread(world: CoreWorld, server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten large calls at once kept the calls of all other workers waiting for seconds."""
    world.create()
    ((worker, _),) = world.lease(1)
    running, at_once = [], []
    apply = service.work

    def counted(*args: Any) -> Any:
        running.append(1)
        at_once.append(len(running))
        time.sleep(0.02)
        try:
            return apply(*args)
        finally:
            running.pop()

    monkeypatch.setattr(service, "work", counted)
    call = {"boot": worker.boot, "beat": 9, "want": 0, "live": [f"{number:05}" for number in range(5000)]}
    path = f"/api/v1/workers/{worker.id}/work"
    with ThreadPoolExecutor(8) as callers:
        replies = callers.map(lambda _: server.ask("POST", path, call, token=worker.token).status, range(8))
        assert list(replies) == [200] * 8
    assert at_once == [1] * 8


def test_event_of_many_artifacts_stays_short(world: CoreWorld) -> None:
    experiment = world.create()
    ((worker, lease),) = world.lease(1)
    content = b"bytes"
    digest = hashlib.sha256(content).hexdigest()
    uploads.append(world.core, worker.id, digest, 0, content)
    files = [{"path": f"{number}/{'x' * 2000}", "digest": digest, "size": len(content)} for number in range(200)]
    answer = worker.keep_artifacts({"attempt": lease["attempt"], "token": lease["token"], "files": files})
    assert len(answer["kept"]) == 200
    event, _ = read_experiments.events(world.core, experiment, 0, 100, ["artifacts_kept"])["items"]
    assert event["data"] == {"trial": 1, "files": 100, "paths": [f"{n}/{'x' * 198}" for n in range(3)]}


def test_one_worker_occupies_one_thread_with_its_files(
    world: CoreWorld, server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight calls of one worker held the write lock in turns: heartbeats of others waited for 15 seconds."""
    world.create(parallelism=2)
    (worker, _), (other, _) = world.lease(2)
    release, started, at_once = threading.Event(), threading.Semaphore(0), []

    def occupy(core: object, name: str, *args: object) -> Published:
        at_once.append(name)
        started.release()
        assert release.wait(60)
        return Published(True)

    monkeypatch.setattr(uploads, "keep_artifacts", occupy)
    monkeypatch.setattr(uploads, "checkpoint", occupy)
    owned = {"attempt": "a", "token": 1}
    bodies = {"artifacts": owned | {"files": []}, "checkpoint": owned | {"digest": "0" * 64}}

    def ask(sender: FakeWorker, route: str) -> int:
        path = f"/api/v1/workers/{sender.id}/{route}"
        return server.ask("POST", path, bodies[route], token=sender.token).status

    with ThreadPoolExecutor(21) as callers:
        replies = [callers.submit(ask, worker, route) for route in [*bodies] * 10]
        assert started.acquire(timeout=60)
        replies.append(callers.submit(ask, other, "artifacts"))
        assert started.acquire(timeout=60), "a thread for the other worker"
        beat = {"boot": worker.boot, "beat": 9, "want": 0, "live": []}
        assert server.ask("POST", f"/api/v1/workers/{worker.id}/work", beat, token=worker.token).status == 200
        assert sorted(at_once) == sorted([worker.id, other.id])
        release.set()
        assert [reply.result() for reply in replies] == [200] * 21


def test_no_transaction_records_more_than_a_hundred_files(world: CoreWorld, server: Live) -> None:
    experiment = world.create()
    ((worker, lease),) = world.lease(1)
    call = {"attempt": lease["attempt"], "token": lease["token"]}
    digest = hashlib.sha256(b"x").hexdigest()
    files = [{"path": f"{number:04}", "digest": digest, "size": 1} for number in range(1000)]
    path = f"/api/v1/workers/{worker.id}"
    for more in (True, False):  # the second one replaces the rows of the first one
        assert server.ask("PUT", f"{path}/uploads/{digest}?offset=0", b"x", token=worker.token).status == 200
        reply = server.ask("POST", f"{path}/artifacts", call | {"files": files, "more": more}, token=worker.token)
        assert reply.status == 200, reply.body
    with world.core.store.reading() as session:
        assert len(artifacts.of_trial(session, experiment, 1)) == 1000
    events = server.ask(
        "GET", f"/api/v1/experiments/{experiment}/events?kind=artifacts_kept&limit=1000", token="secret-token"
    )
    assert [event["data"]["files"] for event in events.json()["items"]] == [100] * 20
