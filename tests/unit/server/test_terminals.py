"""Bytes between a person and a trial."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestune.domain.lifecycle.states import AttemptState, FoldState, TrialState
from orchestune.errors import Throttled
from orchestune.server.terminals import (
    IDLE_TIMEOUT_SECONDS,
    MAX_BUFFERED_BYTES,
    MAX_TERMINALS,
    MAX_TERMINALS_PER_WORKER,
    Pipe,
    Terminals,
)
from orchestune.store.statements.attempts import AttemptInTrial
from tests.unit.server.harness import WORKER, Live, live

USER, TRIAL = "/api/v1/experiments/sgd/terminal", "/api/v1/workers/worker-1/terminal"


def test_bytes_arrive_once_however_often_they_are_sent_and_asked_for() -> None:
    pipe = Pipe()
    pipe.put(0, b"abc")
    pipe.put(0, b"abcd")
    assert pipe.end == 4
    assert [pipe.take(0), pipe.take(0), pipe.take(3), pipe.take(4)] == [b"abcd", b"abcd", b"d", b""]
    pipe.put(2, b"c")
    assert pipe.take(4) == b"", "long since arrived"


def test_both_ends_go_on_where_they_were_after_a_restart_of_the_server() -> None:
    pipe = Pipe()
    pipe.put(1000, b"new")
    assert (pipe.take(1000), pipe.end) == (b"new", 1003)
    asked_first = Pipe()
    assert asked_first.take(500) == b""
    asked_first.put(500, b"x")
    assert asked_first.take(500) == b"x"


def test_what_nobody_fetches_is_taken_only_up_to_a_limit() -> None:
    pipe = Pipe()
    pipe.put(0, bytes(MAX_BUFFERED_BYTES))
    assert pipe.is_full
    pipe.take(MAX_BUFFERED_BYTES)
    assert not pipe.is_full


def test_a_terminal_that_nobody_calls_for_is_forgotten() -> None:
    now = [0.0]
    terminals = Terminals(lambda: now[0])
    first = terminals.of("a", "w")
    now[0] = IDLE_TIMEOUT_SECONDS - 1
    assert terminals.of("a", "w") is first
    now[0] += IDLE_TIMEOUT_SECONDS + 1
    terminals.of("b", "w")
    assert terminals.of("a", "w") is not first


def test_one_call_cannot_bring_more_than_a_pipe_holds() -> None:
    pipe = Pipe()
    pipe.put(0, bytes(MAX_BUFFERED_BYTES - 1))
    pipe.put(MAX_BUFFERED_BYTES - 1, b"ab" * MAX_BUFFERED_BYTES)
    assert pipe.end == MAX_BUFFERED_BYTES
    assert pipe.take(0)[-1:] == b"a"


def test_a_worker_that_opens_many_terminals_loses_its_own_oldest() -> None:
    now = [0.0]
    terminals = Terminals(lambda: now[0])
    other = terminals.of("other", "victim")
    own = []
    for number in range(MAX_TERMINALS_PER_WORKER + 1):
        now[0] += 1
        own.append(terminals.of(f"a{number}", "attacker"))
    assert terminals.of("other", "victim") is other
    assert terminals.of("a1", "attacker") is own[1]
    assert terminals.of("a0", "attacker") is not own[0]


def test_a_server_keeps_a_limited_number_of_terminals_and_those_that_are_open() -> None:
    terminals = Terminals()
    first = terminals.of("0", "w0")
    for number in range(1, MAX_TERMINALS):
        terminals.of(str(number), f"w{number}")
    with pytest.raises(Throttled):
        terminals.of("more", "another")
    assert terminals.of("0", "w0") is first


def test_a_terminal_of_an_attempt_that_is_over_is_not_kept() -> None:
    terminals = Terminals()
    assert terminals.of("a", "w", is_open=False) is not terminals.of("a", "w", is_open=False)
    terminal = terminals.of("b", "w")
    assert terminals.of("b", "w", is_open=False) is terminal, "what it printed last is still to be read"


ATTEMPT = AttemptInTrial(
    state=AttemptState.RUNNING, attempt_number=1, trial=1, fold=0, stop_order=None, point_count=0, log_end=0,
    started_at=None, worker="worker-1", reason=None, resumed_from=None, non_finite=None,
    fold_state=FoldState.ACTIVE, lease_token=1, failures=0, trial_state=TrialState.RUNNING,
    lost_attempts=0, is_isolated=False,
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[Live]:
    with live() as live_server:
        live_server.script.answers |= {"of_user": ATTEMPT, "of_worker": ATTEMPT}
        yield live_server


def call(server: Live, path: str, **body: Any) -> dict[str, Any]:
    if "data" in body:
        body["data"] = base64.b64encode(body["data"]).decode()
    token = {} if path == USER else {"token": WORKER}
    reply = server.ask("PUT", path, {"attempt": "a", **body}, **token)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    return answer | {"data": base64.b64decode(answer.get("data") or "")}


def test_what_one_end_sends_wakes_the_other_one(server: Live) -> None:
    heard: list[dict[str, Any]] = []
    waits = threading.Thread(target=lambda: heard.append(call(server, TRIAL, after=0, wait=20, size=[24, 80])))
    waits.start()
    time.sleep(0.1)
    assert not heard
    call(server, USER, data=b"ls\r", at=0)
    waits.join(10)
    assert heard[0]["data"] == b"ls\r" and heard[0]["next"] == 3


def test_a_new_size_and_the_end_reach_the_trial_and_its_exit_code_the_user(server: Live) -> None:
    call(server, USER, size=[33, 111])
    assert call(server, TRIAL, after=0, wait=20, size=[24, 80])["size"] == [33, 111]
    call(server, USER, data=b"q", at=0)
    call(server, USER, over=0)
    assert call(server, TRIAL, after=0, size=[33, 111])["over"] is None, "what was typed comes first"
    assert call(server, TRIAL, after=1, wait=20, size=[33, 111])["over"] == 0
    call(server, TRIAL, data=b"bye", at=0)
    call(server, TRIAL, over=5)
    assert call(server, USER, after=0)["over"] is None, "what was printed comes first"
    assert call(server, USER, after=3, wait=20)["over"] == 5


def test_who_prints_more_than_is_read_waits(server: Live) -> None:
    part = bytes(MAX_BUFFERED_BYTES // 2)
    assert call(server, TRIAL, data=part, at=0)["next"] == len(part)
    assert call(server, TRIAL, data=part, at=len(part))["next"] == MAX_BUFFERED_BYTES
    assert call(server, TRIAL, data=b"more", at=MAX_BUFFERED_BYTES)["next"] == MAX_BUFFERED_BYTES, "not taken"
    assert len(call(server, USER, after=0)["data"]) == MAX_BUFFERED_BYTES
    call(server, USER, after=MAX_BUFFERED_BYTES)
    assert call(server, TRIAL, data=b"more", at=MAX_BUFFERED_BYTES)["next"] == MAX_BUFFERED_BYTES + 4


def test_nonsense_is_refused(server: Live) -> None:
    reply = server.ask("PUT", USER, {"attempt": "a", "data": "&&"})
    assert reply.status == 400 and b"invalid base64" in reply.body
    assert server.ask("PUT", USER, {"attempt": "a", "wait": 1000}).status == 400
