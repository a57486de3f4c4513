"""What the server hears of an attempt, and when."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.worker import reporting, talk
from orchestune.worker.metrics import Reported
from orchestune.worker.output import Log
from orchestune.worker.points import Points
from orchestune.worker.reporting import BRIEF, LOG_BYTES, POINTS, Record, Reporting
from orchestune.worker.talk import TOGETHER, Talk


class Clock:
    """What `time.monotonic` says."""

    def __init__(self) -> None:
        self.now = time.monotonic()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    stopped = SimpleNamespace(monotonic=lambda: made.now)
    monkeypatch.setattr(reporting, "time", stopped)
    monkeypatch.setattr(talk, "time", stopped)
    return made


class Network:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.replies: list[Any] = []

    def call(self, channel: str, body: dict[str, Any], timeout: float) -> None:
        self.sent.append(body)


class Worker:
    """The parts around `Talk`: four places, as many attempts as a test began."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.reporting, self.network = Reporting(), Network()
        self.supervisor: Any = SimpleNamespace(attempts={}, queue=[], idle=0, unwell_until=0.0)
        self.talk = Talk(self.network, self.reporting, self.supervisor, None, "boot", 60.0, lambda: 0)  # type: ignore[arg-type]

    def begin(self, name: str) -> Record:
        """An attempt that starts now, and prints."""
        record = Record(name, 1, Log(1 << 20, self.folder / name), Points(()))
        record.started = self.clock.now
        record.log.append(b"loss=1\n")
        self.reporting.add(record)
        self.supervisor.attempts[name] = record
        return record

    def end(self, name: str) -> None:
        """It ends now."""
        self.reporting.finish(name, {"attempt": name, "state": "succeeded"})
        del self.supervisor.attempts[name]

    def told(self) -> list[tuple[list[str], list[str]]]:
        """Of each call the attempts that go on, and those that ended."""
        self.talk.step(self.clock.now)
        return [
            tuple([item["attempt"] for item in body.get(part, ())] for part in ("beats", "finished"))  # type: ignore[misc]
            for body in self.network.sent
        ]


@pytest.fixture
def worker(tmp_path: Path, clock: Clock) -> Worker:
    return Worker(tmp_path, clock)


def test_the_end_of_the_only_attempt_is_told_at_once(worker: Worker) -> None:
    worker.begin("a")
    worker.end("a")
    assert worker.told() == [([], ["a"])]


def test_the_end_of_a_brief_attempt_waits_a_moment_for_others_while_others_run(worker: Worker, clock: Clock) -> None:
    for name in "abcd":
        worker.begin(name)
    worker.end("a")
    assert worker.told() == []
    assert worker.talk.next_step() == pytest.approx(clock.now + TOGETHER)
    start = clock.now
    clock.now = start + TOGETHER / 2
    worker.end("b")
    assert worker.told() == []
    clock.now = start + TOGETHER  # two halves, added one by one, may be a little less
    assert worker.told() == [([], ["a", "b"])]


def test_ends_are_told_once_fewer_attempts_run_than_ended(worker: Worker) -> None:
    for name in "abc":
        worker.begin(name)
    worker.end("a")
    assert worker.told() == []
    worker.end("b")
    assert worker.told() == [([], ["a", "b"])]


def test_the_end_of_an_attempt_that_lasted_waits_for_nobody(worker: Worker, clock: Clock) -> None:
    worker.begin("a")
    clock.now += 2 * BRIEF
    for name in "bcd":
        worker.begin(name)
    worker.end("a")
    assert worker.told() == [([], ["a"])]


def test_of_a_brief_attempt_everything_is_told_at_its_end(worker: Worker, clock: Clock) -> None:
    worker.begin("a")
    worker.begin("b")
    clock.now += 2 * BRIEF
    worker.begin("c")
    worker.end("a")
    assert worker.told() == [(["b"], ["a"])]


def test_the_rest_of_a_brief_attempts_log_follows_its_end(worker: Worker) -> None:
    text = b"x" * (LOG_BYTES * 3 // 2)
    worker.begin("a").log.append(text)
    worker.end("a")
    heard = 0.0
    while worker.reporting.records and heard < 9:
        shipment = worker.reporting.ship()
        items = shipment.finished + shipment.beats
        assert [item["attempt"] for item in items] == ["a"], "and nothing of it stays for ever"
        acks = [{"attempt": item["attempt"], "result": "ok"} for item in items]
        worker.reporting.acknowledge(shipment, acks)
        worker.reporting.take_over()
        heard += sum(len(part) for item in items for _, part, _ in item["logs"]) / LOG_BYTES
    assert heard == pytest.approx(len(b"loss=1\n" + text) / LOG_BYTES)


def test_what_never_started_is_told_at_once(worker: Worker) -> None:
    for name in "abc":
        worker.begin(name)
    refused = worker.begin("d")
    refused.started = None
    worker.end("d")
    assert worker.told() == [([], ["d"])]


@pytest.mark.parametrize("others", [0, POINTS + 1])
def test_the_end_tells_a_last_value_that_is_not_finite_whatever_was_sent_before_it(worker: Worker, others: int) -> None:
    record = worker.begin("a")
    record.points = Points(["loss"])
    record.points.add([Reported("loss", math.nan, None, None)])
    worker.clock.now += 2 * BRIEF
    on_its_way = worker.reporting.ship()
    assert on_its_way.beats
    record.points.add(Reported("size", 1.0, None, None) for _ in range(others))
    record.points.close()
    worker.end("a")
    worker.reporting.acknowledge(on_its_way, [{"attempt": "a", "result": "ok"}])
    ended: list[dict[str, Any]] = []
    while not ended:
        shipment = worker.reporting.ship()
        worker.reporting.acknowledge(shipment, [{"attempt": "a", "result": "ok"}])
        ended += shipment.finished
    assert [0, "loss", "nan", None, None] in ended[0]["points"]
