"""Attack: a trial with its worker's token sends more than any worker does. The server keeps to the limits itself."""

from __future__ import annotations

from typing import Any

from orchestune.services import read_logs
from orchestune.services.attempt_logs import LOG_CAP
from orchestune.testing.world import FakeWorker, World
from orchestune.worker.output import TAIL

HEAD = LOG_CAP - TAIL


def send_log(worker: FakeWorker, lease: dict[str, Any], offset: int, text: str, gap: int = 0) -> None:
    answer = worker.call(beats=[worker.started(lease) | {"logs": [[offset, text, gap]]}])
    assert answer["acks"][0]["result"] == "ok", "else its worker would send it for ever"


def log_of(world: World, experiment: str) -> list[Any]:
    return list(read_logs.logs(world.core, experiment, 0, 5000)["items"])


def test_a_worker_that_ignores_the_cap_of_a_log_fills_no_store(world: World) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    sent = 10 * 2**20
    for start in range(0, sent, 2**20):
        send_log(worker, lease, HEAD + start, "x" * 2**20, gap=0 if start else HEAD)
    chunks = log_of(world, experiment)
    assert sum(len(chunk["text"]) for chunk in chunks) == 2 * TAIL
    assert [chunk["gap"] for chunk in chunks if not chunk["text"]] == [2**20], "one gap, not one for each part"
    end = worker.finish(lease, logs=[[HEAD + sent, "loss=1\n", 0]], log_bytes=HEAD + sent + 7)
    assert worker.call(finished=[end])["acks"][0]["result"] == "ok"
    assert world.trial(experiment, 1)["attempts"][0]["logs_complete"]
    assert world.trial(experiment, 1)["state"] == "completed"


def test_a_flood_of_tiny_parts_behind_the_head_ends_too(world: World) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    send_log(worker, lease, HEAD, "x", gap=HEAD)
    for call in range(4):
        parts = [[HEAD + 1 + call * 1000 + number, "x", 0] for number in range(1000)]
        worker.call(beats=[worker.started(lease) | {"logs": parts}])
    stored = sum(len(chunk["text"]) for chunk in log_of(world, experiment))
    assert 1000 < stored <= 2000


def test_the_head_and_the_tail_that_a_worker_keeps_are_stored_whole(world: World) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    skipped = HEAD + 50 * 2**20
    part = TAIL // 4
    for number in range(4):
        send_log(worker, lease, skipped + number * part, "y" * part, gap=0 if number else 50 * 2**20)
    chunks = log_of(world, experiment)
    assert sum(len(chunk["text"]) for chunk in chunks) == TAIL
    assert [chunk["gap"] for chunk in chunks] == [50 * 2**20, 0, 0, 0]
