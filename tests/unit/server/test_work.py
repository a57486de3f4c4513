from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from orchestune.errors import StoreUnavailable
from orchestune.server.context import ServerTimeouts
from orchestune.services.execution.worker_call import CallResult
from orchestune.wire.answers import Ack, Lease, ReasonDocument, StopOrder, WorkAnswer, encode
from orchestune.wire.work import Work
from tests.unit.server.harness import OWNER, WORKER, Live, live, until

PATH = "/api/v1/workers/worker-1/work"
BODY = {"boot": "b", "beat": 3, "want": 1, "wait": 30, "live": [], "finished": [], "beats": []}
CALL = Work(boot="b", beat=3, want=1, wait=30, live=())
LEASE = Lease(
    attempt="a", token=1, number=1, trial=1, fold=0, folds=1, parameters=msgspec.Raw(b"{}"), seed=1, revision=1,
    bundle=None, gpus=[], report="http://x", checkpoint=None,
)  # fmt: skip
ORDER = StopOrder(attempt="a", state="cancelled", reason=ReasonDocument("stopped", "by ada"))


def nothing(**parts: Any) -> CallResult:
    """An answer of the use case without news but these."""
    empty: dict[str, Any] = {"acks": [], "orders": [], "leases": [], "slots": 1, "drain": False, "again": False}
    return CallResult(WorkAnswer(**empty | parts), "exp-1")


def work_document(parts: dict[str, Any]) -> dict[str, Any]:
    """The document that the worker receives."""
    document: dict[str, Any] = msgspec.json.decode(encode(nothing(**parts).answer))
    return document


@pytest.mark.parametrize(
    "news", [{"leases": [LEASE]}, {"orders": [ORDER]}, {"drain": True}, {"acks": [Ack("a", "ok")]}]
)
def test_news_are_told_at_once(server: Live, news: dict[str, Any]) -> None:
    server.script.answers["work"] = lambda core, worker, body: nothing(**news)
    reply = server.ask("POST", PATH, BODY, token=WORKER)
    assert (reply.status, reply.json()) == (200, work_document(news))
    assert server.script.of("work") == [("worker-1", CALL)]


@pytest.mark.parametrize("change", [{"want": 0}, {"wait": 0}, {"wait": -1}])
def test_a_worker_that_does_not_wait_is_answered_at_once(server: Live, change: dict[str, Any]) -> None:
    server.script.answers["work"] = lambda core, worker, body: nothing()
    reply = server.ask("POST", PATH, {**BODY, **change}, token=WORKER)
    assert reply.json() == work_document({})
    assert len(server.script.of("work")) == 1


def test_wait_may_be_left_out(server: Live) -> None:
    server.script.answers["work"] = lambda core, worker, body: nothing()
    assert server.ask("POST", PATH, {"boot": "b", "beat": 1, "want": 1}, token=WORKER).json() == work_document({})


def test_a_worker_that_waits_is_woken_by_a_signal_and_asks_again_without_what_was_taken(server: Live) -> None:
    ready = threading.Event()
    server.script.answers["work"] = lambda core, *args: nothing(leases=[LEASE]) if ready.is_set() else nothing()
    ended = {"attempt": "x", "token": 1, "state": "succeeded"}
    body = {**BODY, "finished": [ended, {}], "beats": [{"attempt": "y", "token": 1}], "live": ["y"], "sending": 1}
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(server.ask, "POST", PATH, body, token=WORKER)
        until(lambda: server.script.of("work"), "the first look")
        ready.set()
        server.core.signals.notify("work:exp-1")
        assert reply.result().json() == work_document({"leases": [LEASE]})
    first, second = (args[1] for args in server.script.of("work"))
    assert (len(first.finished), len(first.beats), len(first.rejected), first.sending) == (1, 1, 1, 1)
    assert second == Work(boot="b", beat=3, want=1, wait=30, live=("y",))


def test_a_signal_between_look_and_wait_is_not_lost(server: Live) -> None:
    looks = []

    def work(core: Any, worker: str, body: Any) -> CallResult:
        looks.append(body)
        if len(looks) == 1:
            core.signals.notify("work:exp-1")  # comes after the rows were read
            return nothing()
        return nothing(leases=[LEASE])

    server.script.answers["work"] = work
    assert server.ask("POST", PATH, BODY, token=WORKER).json() == work_document({"leases": [LEASE]})


def test_an_owner_who_asks_for_a_worker_learns_the_topic_first(server: Live) -> None:
    server.script.answers["work"] = lambda core, *args: nothing(
        leases=[LEASE] if len(server.script.of("work")) > 1 else []
    )
    assert server.ask("POST", PATH, BODY, token=OWNER).json() == work_document({"leases": [LEASE]})


def test_the_wait_ends_after_what_the_worker_said(server: Live) -> None:
    server.script.answers["work"] = lambda core, *args: nothing()
    assert server.ask("POST", PATH, {**BODY, "wait": 0.05}, token=WORKER).json() == work_document({})


def test_a_worker_that_hangs_up_while_it_waits_is_given_nothing(server: Live) -> None:
    server.script.answers["work"] = lambda core, *args: nothing()
    connection = server.connect()
    connection.request("POST", PATH, b'{"boot":"b","beat":1,"want":1,"wait":30}', {"Authorization": f"Bearer {WORKER}"})
    until(lambda: server.script.of("work"), "the first look")
    connection.close()
    until(lambda: not server.server.server_state.tasks, "the request ends")
    server.core.signals.notify("work:exp-1")
    assert server.ask("GET", "/healthz", token=None).status == 200
    assert len(server.script.of("work")) == 1


def test_who_hangs_up_leaves_what_it_may_have_been_woken_for_to_the_next(server: Live) -> None:
    server.script.answers["work"] = lambda core, *args: nothing()
    connection = server.connect()
    connection.request("POST", PATH, b'{"boot":"b","beat":1,"want":1,"wait":30}', {"Authorization": f"Bearer {WORKER}"})
    until(lambda: server.script.of("work"), "the first look")
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(server.ask, "POST", PATH, BODY, token=WORKER)
        until(lambda: len(server.script.of("work")) == 2, "the look of another one")
        server.script.answers["work"] = lambda core, *args: nothing(leases=[LEASE])
        connection.close()
        assert reply.result().json() == work_document({"leases": [LEASE]})


def test_a_server_that_drains_lets_go_of_who_waits() -> None:
    with live() as server, ThreadPoolExecutor() as pool:
        server.script.answers["work"] = lambda core, *args: nothing()
        replies = [pool.submit(server.ask, "POST", PATH, BODY, token=WORKER) for _ in range(3)]
        until(lambda: len(server.script.of("work")) == 3, "all wait")
        server.server.end()
        assert [one.result().json() for one in replies] == [work_document({})] * 3
        assert server.ended.wait(60)
    assert len(server.script.of("work")) == 3


def test_waiting_is_not_slow(caplog: pytest.LogCaptureFixture) -> None:
    with live(pace=ServerTimeouts(slow=0.0)) as server, caplog.at_level(logging.WARNING, "orchestune.server"):
        server.script.answers["work"] = lambda core, *args: nothing()
        began = time.monotonic()
        server.ask("POST", PATH, {**BODY, "wait": 0.8}, token=WORKER)
        took = time.monotonic() - began
        until(lambda: caplog.records, "a line is logged")
    assert caplog.records[0].__dict__["seconds"] < took - 0.7


@pytest.mark.parametrize("in_process", [True, False])
def test_a_store_in_the_process_is_asked_on_the_loop_and_one_that_is_away_in_a_thread(in_process: bool) -> None:
    where = []

    def work(core: Any, worker: str, body: Any) -> CallResult:
        where.append(threading.current_thread().name)
        return nothing(leases=[LEASE])

    with live(in_process=in_process) as server:
        server.script.answers["work"] = work
        assert server.ask("POST", PATH, BODY, token=WORKER).status == 200
    assert ("AnyIO" in where[0]) is not in_process


def test_a_store_that_somebody_else_writes_to_is_waited_for_in_a_thread() -> None:
    where = []

    def work(core: Any, worker: str, body: Any) -> CallResult:
        where.append(threading.current_thread().name)
        if len(where) == 1:
            raise StoreUnavailable("the store is busy")
        return nothing(leases=[LEASE])

    with live() as server:
        server.script.answers["work"] = work
        assert server.ask("POST", PATH, BODY, token=WORKER).status == 200
    assert ["AnyIO" in name for name in where] == [False, True]


def test_what_another_replica_caused_is_found_within_a_poll() -> None:
    with live(in_process=False, pace=ServerTimeouts(poll=0.02)) as server:
        looks = server.script.calls
        server.script.answers["work"] = lambda core, *args: nothing(leases=[LEASE] if len(looks) > 5 else [])
        assert server.ask("POST", PATH, BODY, token=WORKER).json() == work_document({"leases": [LEASE]})


def test_the_answer_names_the_pause_of_many_workers_unless_somebody_watches(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[bool] = []

    def pause(worker: str, now: float, *, watched: bool) -> float:
        assert worker == "worker-1"
        return 0.0 if watched else 4.5

    monkeypatch.setattr(server.core.pace, "pause", pause)
    monkeypatch.setattr(
        server.core.signals, "is_awaited", lambda topic, seconds: topic == "logs:exp-1" and bool(watched)
    )
    server.script.answers["work"] = lambda core, worker, body: nothing()
    ask = {**BODY, "want": 0}
    assert server.ask("POST", PATH, ask, token=WORKER).json() == {**work_document({}), "pause": 4.5}
    watched.append(True)
    assert server.ask("POST", PATH, ask, token=WORKER).json() == work_document({})
