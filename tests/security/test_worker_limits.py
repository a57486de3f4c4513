"""Attack: a trial with its worker's token sends more than any worker does. The server keeps to the limits itself."""

from __future__ import annotations

import math
from typing import Any

import pytest

from orchestune.domain.specification.metrics import Point
from orchestune.services.execution import attempt_logs, points, report_metrics, usage
from orchestune.services.execution.attempt_logs import LOG_CAP
from orchestune.services.queries import read_experiments, read_logs
from orchestune.services.signatures import report_signature
from orchestune.store.statements.points import LAST_POINTS
from orchestune.worker.output import MAX_TAIL_BYTES
from tests.contract.world import CoreWorld, FakeWorker

HEAD = LOG_CAP - MAX_TAIL_BYTES


def send_log(worker: FakeWorker, lease: dict[str, Any], offset: int, text: str, gap: int = 0) -> None:
    answer = worker.call(beats=[worker.started(lease) | {"logs": [[offset, text, gap]]}])
    assert answer["acks"][0]["result"] == "ok", "else its worker would send it for ever"


def log_of(world: CoreWorld, experiment: str) -> list[Any]:
    return list(read_logs.logs(world.core, experiment, 0, 5000)["items"])


def test_a_worker_that_ignores_the_cap_of_a_log_fills_no_store(world: CoreWorld) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    sent = 10 * 2**20
    for start in range(0, sent, 2**20):
        send_log(worker, lease, HEAD + start, "x" * 2**20, gap=0 if start else HEAD)
    chunks = log_of(world, experiment)
    assert sum(len(chunk["text"]) for chunk in chunks) == 2 * MAX_TAIL_BYTES
    assert [chunk["gap"] for chunk in chunks if not chunk["text"]] == [2**20], "one gap, not one for each part"
    end = worker.finish(lease, logs=[[HEAD + sent, "loss=1\n", 0]], log_bytes=HEAD + sent + 7)
    assert worker.call(finished=[end])["acks"][0]["result"] == "ok"
    assert world.trial(experiment, 1)["attempts"][0]["logs_complete"]
    assert world.trial(experiment, 1)["state"] == "completed"


def test_a_flood_of_tiny_parts_behind_the_head_ends_too(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_logs, "_TAIL_SEGMENTS", 20)
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    send_log(worker, lease, HEAD, "x", gap=HEAD)
    for number in range(40):
        send_log(worker, lease, HEAD + 1 + number, "x")
    assert sum(len(chunk["text"]) for chunk in log_of(world, experiment)) == 20


def test_adjacent_parts_of_a_call_are_one_segment(world: CoreWorld) -> None:
    """A million parts of one byte were as many rows, which took 150 MB and ten times their size in memory."""
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    parts = [[number, "xy", 0] for number in range(0, 1000, 2)]
    worker.call(beats=[worker.started(lease) | {"logs": [*parts, [1010, "z", 10], [1011, "z", 0]]}])
    chunks = log_of(world, experiment)
    assert [(chunk["text"], chunk["gap"]) for chunk in chunks] == [("xy" * 500, 0), ("zz", 10)]


def test_a_call_adds_few_segments_whatever_gaps_are_between_its_parts(world: CoreWorld) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    worker.call(beats=[worker.started(lease) | {"logs": [[2 * number, "x", 1] for number in range(1, 900)]}])
    assert len(log_of(world, experiment)) == 16


def test_an_attempt_has_a_limited_number_of_segments(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_logs, "_MAX_SEGMENTS", 20)
    experiment = world.create(budget=2, parallelism=2)
    (worker, lease), (other, second) = world.lease(2)
    for number in range(30):
        send_log(worker, lease, number, "x")
    send_log(other, second, 0, "of another attempt")
    *stored, mark, chunk = log_of(world, experiment)
    assert (len(stored), mark["text"], mark["gap"]) == (20, "", 1)
    assert chunk["text"] == "of another attempt"
    end = worker.finish(lease, logs=[[30, "loss=1\n", 0]], log_bytes=37)
    assert worker.call(finished=[end])["acks"][0]["result"] == "ok"
    assert world.trial(experiment, lease["trial"])["attempts"][0]["logs_complete"]


def test_the_head_and_the_tail_that_a_worker_keeps_are_stored_whole(world: CoreWorld) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    skipped = HEAD + 50 * 2**20
    part = MAX_TAIL_BYTES // 4
    for number in range(4):
        send_log(worker, lease, skipped + number * part, "y" * part, gap=0 if number else 50 * 2**20)
    chunks = log_of(world, experiment)
    assert sum(len(chunk["text"]) for chunk in chunks) == MAX_TAIL_BYTES
    assert [chunk["gap"] for chunk in chunks] == [50 * 2**20, 0, 0, 0]


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(points, "MAX_POINTS", 100)
    return 100


def curve(world: CoreWorld, lease: dict[str, Any], name: str) -> list[Point]:
    with world.core.store.reading() as session:
        where = {"attempt": lease["attempt"], "name": name, "upto": math.inf, "count": 10_000}
        return session.rows(LAST_POINTS, where)[::-1]


def stored_points(world: CoreWorld, lease: dict[str, Any]) -> int:
    return len(curve(world, lease, "loss")) + len(curve(world, lease, "other"))


def report(worker: FakeWorker, lease: dict[str, Any], start: int, count: int) -> None:
    values = [[start + at, name, float(start + at), None, None] for at in range(count) for name in ("loss", "other")]
    answer = worker.call(beats=[worker.started(lease) | {"points": values}])
    assert answer["acks"][0]["result"] == "ok"


def limit_events(world: CoreWorld, experiment: str) -> list[Any]:
    events = read_experiments.events(world.core, experiment, 0, 1000)["items"]
    return [event["data"] for event in events if event["kind"] == "points_limit_reached"]


def test_a_worker_that_reports_for_ever_stores_a_limited_number_of_points(world: CoreWorld, few_points: int) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    for start in range(0, 1000, 40):
        report(worker, lease, start, 40)
    assert few_points <= stored_points(world, lease) < few_points + 25, "beyond it one value for each report"
    for start in range(1000, 1300):
        report(worker, lease, start, 1)
    assert stored_points(world, lease) == 2 * few_points
    assert limit_events(world, experiment) == [{"trial": 1, "attempt": lease["attempt"], "most": few_points}]


def test_the_last_value_decides_a_trial_also_beyond_the_limit(world: CoreWorld, few_points: int) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    report(worker, lease, 0, 2 * few_points)
    end = worker.finish(lease, points=[[2 * few_points, "loss", 0.25, None, None]])
    worker.call(finished=[end])
    assert world.trial(experiment, 1)["metrics"]["loss"]["value"] == 0.25


def test_a_command_that_reports_by_http_for_ever_stores_a_limited_number_of_points(
    world: CoreWorld, few_points: int
) -> None:
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    worker.call(beats=[worker.started(lease)])
    signature = report_signature(world.core, lease["attempt"])
    for at in range(3 * few_points):
        values = {"loss": float(at), "other": 1} if at % 2 else {"other": 1, "loss": float(at)}
        assert not report_metrics.report(world.core, lease["attempt"], signature, values)["stop"]
    assert stored_points(world, lease) == 2 * few_points
    losses = [point.value for point in curve(world, lease, "loss")]
    assert losses == sorted(losses) and len(set(losses)) == len(losses)
    assert len(limit_events(world, experiment)) == 1


def test_samples_of_usage_whose_numbers_do_not_ascend_are_not_kept(world: CoreWorld) -> None:
    """A thousand samples with the same number in each call were all kept, and read and written by the next call."""
    experiment = world.create(budget=1)
    ((worker, lease),) = world.lease()
    for call in range(20):
        numbers = [2**40 * (call + 1)] * 999 + [call]
        samples = [[number, 1.0, 1.0, 1.0, None, None] for number in numbers]
        worker.call(beats=[worker.started(lease) | {"usage": samples}])
    [used] = usage.usage(world.core, experiment, 1)["items"]
    assert len(used["samples"]) <= 20
