"""Attack: documents that no worker sends, with a worker's token. The server refuses them, and other trials go on."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from orchestune.testing.world import FakeWorker, World
from tests.unit.server.harness import Live, live

WRONG: tuple[Any, ...] = (
    None, True, -1, 1.5, 2**63, 10**40, "", "x", "\0", "\ud800", [], [[]], {}, {"a": 1}, [{}], "x" * 3000,
)  # fmt: skip


@pytest.fixture
def server(world: World) -> Iterator[Live]:
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
    world: World, server: Live, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(3)
    faults = []
    world.create(budget=1000, parallelism=2)
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
