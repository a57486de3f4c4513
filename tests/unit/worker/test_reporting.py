"""Content and time of the reports about an attempt."""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.worker import loop
from orchestune.worker.connection import conversation, reporting
from orchestune.worker.connection.api import TooLarge, encoded
from orchestune.worker.connection.conversation import RESULT_BATCH_SECONDS, Conversation, worker_stopped
from orchestune.worker.connection.network import REPORT, CallOutcome
from orchestune.worker.connection.reporting import (
    BRIEF_SECONDS,
    MAX_ATTEMPT_LOG_BYTES,
    MAX_ATTEMPT_POINTS,
    MIN_CALL_JSON_BYTES,
    Reporting,
    UnsentReport,
)
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.scanner import Reported
from orchestune.worker.output import LogBuffer


class Clock:
    """The value of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = time.monotonic()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake_clock = Clock()
    stopped = SimpleNamespace(monotonic=lambda: fake_clock.now)
    monkeypatch.setattr(reporting, "time", stopped)
    monkeypatch.setattr(conversation, "time", stopped)
    return fake_clock


class Network:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.replies: deque[Any] = deque()

    def call(self, channel: str, body: dict[str, Any], timeout: float) -> None:
        self.sent.append(body)


class Worker:
    """The parts around `Conversation`: four places, as many attempts as a test began."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.reporting, self.network = Reporting(), Network()
        self.supervisor: Any = SimpleNamespace(attempts={}, waiting=[], idle=0, paused_until=0.0)
        self.talk = Conversation(self.network, self.reporting, self.supervisor, None, "boot", 60.0, lambda: 0)  # type: ignore[arg-type]

    def begin(self, name: str) -> UnsentReport:
        """An attempt that starts now, and prints."""
        record = UnsentReport(name, 1, LogBuffer(1 << 20, self.folder / name), PointQueue(()))
        record.started = self.clock.now
        record.log.append(b"loss=1\n")
        self.reporting.add(record)
        self.supervisor.attempts[name] = record
        return record

    def end(self, name: str) -> None:
        """It ends now."""
        self.reporting.finish(name, {"attempt": name, "state": "succeeded"})
        del self.supervisor.attempts[name]

    def reported_attempts(self) -> list[tuple[list[str], list[str]]]:
        """Return, of each call, the running attempts and those that ended."""
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
    assert worker.reported_attempts() == [([], ["a"])]


def test_the_end_of_a_brief_attempt_waits_a_moment_for_others_while_others_run(worker: Worker, clock: Clock) -> None:
    for name in "abcd":
        worker.begin(name)
    worker.end("a")
    assert worker.reported_attempts() == []
    assert worker.talk.next_step() == pytest.approx(clock.now + RESULT_BATCH_SECONDS)
    start = clock.now
    clock.now = start + RESULT_BATCH_SECONDS / 2
    worker.end("b")
    assert worker.reported_attempts() == []
    clock.now = start + RESULT_BATCH_SECONDS  # two halves, added one by one, may be a little less
    assert worker.reported_attempts() == [([], ["a", "b"])]


def test_nobody_asks_for_work_while_ends_wait_which_say_what_is_free(worker: Worker, clock: Clock) -> None:
    for name in "abcd":
        worker.begin(name)
    worker.end("a")
    worker.supervisor.idle = 1
    assert worker.reported_attempts() == []
    clock.now += RESULT_BATCH_SECONDS
    assert worker.reported_attempts() == [([], ["a"])]
    assert [body["want"] for body in worker.network.sent] == [1]


def test_ends_are_told_once_fewer_attempts_run_than_ended(worker: Worker) -> None:
    for name in "abc":
        worker.begin(name)
    worker.end("a")
    assert worker.reported_attempts() == []
    worker.end("b")
    assert worker.reported_attempts() == [([], ["a", "b"])]


def test_the_end_of_an_attempt_that_lasted_waits_for_nobody(worker: Worker, clock: Clock) -> None:
    worker.begin("a")
    clock.now += 2 * BRIEF_SECONDS
    for name in "bcd":
        worker.begin(name)
    worker.end("a")
    assert worker.reported_attempts() == [([], ["a"])]


def test_of_a_brief_attempt_everything_is_told_at_its_end(worker: Worker, clock: Clock) -> None:
    worker.begin("a")
    worker.begin("b")
    clock.now += 2 * BRIEF_SECONDS
    worker.begin("c")
    worker.end("a")
    assert worker.reported_attempts() == [(["b"], ["a"])]


def test_the_rest_of_a_brief_attempts_log_follows_its_end(worker: Worker) -> None:
    text = b"x" * (MAX_ATTEMPT_LOG_BYTES * 3 // 2)
    worker.begin("a").log.append(text)
    worker.end("a")
    heard = 0.0
    while worker.reporting.records and heard < 9:
        shipment = worker.reporting.ship()
        items = shipment.finished + shipment.beats
        assert [item["attempt"] for item in items] == ["a"], "and nothing of it stays for ever"
        acks = [{"attempt": item["attempt"], "result": "ok"} for item in items]
        worker.reporting.acknowledge(shipment, acks)
        worker.reporting.pop_reported()
        heard += sum(len(part) for item in items for _, part, _ in item["logs"]) / MAX_ATTEMPT_LOG_BYTES
    assert heard == pytest.approx(len(b"loss=1\n" + text) / MAX_ATTEMPT_LOG_BYTES)


def test_what_never_started_is_told_at_once(worker: Worker) -> None:
    for name in "abc":
        worker.begin(name)
    refused = worker.begin("d")
    refused.started = None
    worker.end("d")
    assert worker.reported_attempts() == [([], ["d"])]


@pytest.mark.parametrize("others", [0, MAX_ATTEMPT_POINTS + 1])
def test_the_end_tells_a_last_value_that_is_not_finite_whatever_was_sent_before_it(worker: Worker, others: int) -> None:
    record = worker.begin("a")
    record.points = PointQueue(["loss"])
    record.points.add([Reported("loss", math.nan, None, None)])
    worker.clock.now += 2 * BRIEF_SECONDS
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


def test_no_call_is_larger_than_the_server_takes_and_everything_is_told(worker: Worker, clock: Clock) -> None:
    names = [f"{number:03}" for number in range(100)]
    for name in names:
        record = worker.begin(name)
        record.log.append(b"\xe2\x96\x88" * 100_000)
        record.points.add(Reported("accuracy", index / 7, float(index), None) for index in range(MAX_ATTEMPT_POINTS))
    clock.now += 2 * BRIEF_SECONDS
    for name in names:
        worker.end(name)
    ended: list[str] = []
    calls = 0
    while worker.reporting.records:
        shipment = worker.reporting.ship()
        assert len(encoded({"finished": shipment.finished, "beats": shipment.beats})) < 2 * 2**20
        assert shipment.sent and (calls := calls + 1) < 200
        acks = [{"attempt": item["attempt"], "result": "ok"} for item in shipment.finished]
        ended += [ack["attempt"] for ack in acks]
        worker.reporting.acknowledge(shipment, acks)
        worker.reporting.pop_reported()
    assert sorted(ended) == names


def test_ends_with_last_lines_that_grow_in_json_stay_within_a_call(worker: Worker) -> None:
    names = [f"{number:03}" for number in range(300)]
    for name in names:
        worker.begin(name)
        worker.reporting.finish(name, {"attempt": name, "state": "failed", "tail": "\u2588" * 4096})
    shipment = worker.reporting.ship()
    assert 0 < len(encoded({"finished": shipment.finished, "beats": shipment.beats})) < 2 * 2**20


def test_a_call_that_was_too_large_is_followed_by_smaller_ones(worker: Worker) -> None:
    for name in "abc":
        worker.begin(name).log.append(b"\xff" * 200_000)
    for name in "abc":
        worker.end(name)

    def size() -> int:
        shipment = worker.reporting.ship()
        assert shipment.sent
        return len(encoded({"finished": shipment.finished, "beats": shipment.beats}))

    whole = size()
    for _ in range(4):
        worker.talk._handle_error(
            CallOutcome(REPORT, None, TooLarge("the body is larger than 1 MiB")), worker.clock.now
        )
    assert size() < whole / 3
    for _ in range(30):
        worker.reporting.shrink()
    assert 0 < size() < 2 * MIN_CALL_JSON_BYTES


def test_those_that_print_much_leave_room_for_the_others(worker: Worker, clock: Clock) -> None:
    names = [f"{number:02}" for number in range(12)]
    for name in names:
        worker.begin(name)
    clock.now += 2 * BRIEF_SECONDS
    heard = set()
    for _ in range(2):
        for name in names:
            worker.reporting.records[name].log.append(b"x" * MAX_ATTEMPT_LOG_BYTES)
        shipment = worker.reporting.ship()
        heard |= {item["attempt"] for item in shipment.beats if item["logs"]}
        worker.reporting.acknowledge(shipment, [])
    assert heard == set(names)


def test_a_lease_that_comes_after_the_worker_was_asked_to_stop_is_given_back(worker: Worker, clock: Clock) -> None:
    heard: list[tuple[str, ...]] = []
    worker.supervisor.waiting = SimpleNamespace(add=lambda lease: heard.append(("lease", lease["attempt"])))
    worker.supervisor.stop = lambda attempt, state, reason, grace=None: heard.append(("stop", attempt, state))
    worker.supervisor.capacity = 4
    worker.talk.draining = True
    worker.talk._apply(None, {"leases": [{"attempt": "a"}]}, clock.now)
    assert heard == [("lease", "a"), ("stop", "a", "preempted")]


def test_a_worker_that_is_asked_to_stop_has_its_time_to_tell_a_server_that_was_away_before(clock: Clock) -> None:
    ending = object.__new__(loop.WorkerLoop)
    parts = {
        "_supervisor": SimpleNamespace(attempts={}, waiting=[]),
        "_crew": SimpleNamespace(busy=0),
        "_reporting": SimpleNamespace(records={}),
        "_conversation": SimpleNamespace(
            last_answer=time.monotonic() - 60, is_unreachable=True, draining=True, quiet=False, drained=False
        ),
    }
    vars(ending).update(parts, _stop_since=time.monotonic() - 1)
    assert not ending._is_done()
    vars(ending).update(_stop_since=time.monotonic() - loop.SHUTDOWN_REPORT_SECONDS - 1)
    assert ending._is_done()


def test_a_requested_pause_delays_heartbeats_and_news_but_no_result(worker: Worker, clock: Clock) -> None:
    record = worker.begin("a")
    clock.now += 2 * BRIEF_SECONDS
    worker.reported_attempts()
    answer = {"acks": [{"attempt": "a", "result": "ok"}], "slots": 1, "pause": 40.0}
    worker.network.replies.append(CallOutcome(REPORT, answer, None))
    worker.talk.receive(clock.now)
    sent = clock.now
    record.log.append(b"loss=2\n")
    assert worker.talk.next_step() == pytest.approx(sent + 40), "news wait"
    record.log.acknowledge(1 << 20)
    assert worker.talk.next_step() == pytest.approx(sent + 40), "so does a heartbeat, which would be due after 30 s"
    clock.now += 1
    worker.end("a")
    assert worker.reported_attempts()[1:] == [([], ["a"])]


def test_a_poll_is_held_for_the_requested_pause(worker: Worker, clock: Clock) -> None:
    worker.supervisor.idle = 1
    worker.talk.step(clock.now)
    worker.network.replies.append(CallOutcome(REPORT, {"slots": 1, "pause": 90.0}, None))
    worker.talk.receive(clock.now)
    worker.talk.step(clock.now)
    assert [body.get("wait") for body in worker.network.sent][-1] == 90


@pytest.mark.parametrize(
    ("remaining", "message"),
    [(170, "the time limit of its Slurm job, 30 min, was nearly reached"), (600, "the worker was asked to stop")],
)
def test_a_stop_shortly_before_the_end_of_a_slurm_job_names_its_time_limit(remaining: int, message: str) -> None:
    environ = {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "2800"}
    assert worker_stopped(environ, 2800 - remaining) == {"code": "worker_stopped", "message": message}
    assert worker_stopped({}, 0.0)["message"] == "the worker was asked to stop"
