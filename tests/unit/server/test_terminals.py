"""Bytes between a person and a trial."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestune.server.terminals import FORGOTTEN, MOST, Pipe, Terminals
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
    pipe.put(0, bytes(MOST))
    assert pipe.full
    pipe.take(MOST)
    assert not pipe.full


def test_a_terminal_that_nobody_calls_for_is_forgotten() -> None:
    now = [0.0]
    terminals = Terminals(lambda: now[0])
    first = terminals.of("a")
    now[0] = FORGOTTEN - 1
    assert terminals.of("a") is first
    now[0] += FORGOTTEN + 1
    terminals.of("b")
    assert terminals.of("a") is not first


@pytest.fixture
def server() -> Iterator[Live]:
    with live() as found:
        found.script.answers |= {"of_user": None, "of_worker": None}
        yield found


def call(server: Live, path: str, **body: Any) -> dict[str, Any]:
    if "data" in body:
        body["data"] = base64.b64encode(body["data"]).decode()
    token = {} if path == USER else {"token": WORKER}
    reply = server.ask("PUT", path, {"attempt": "a", **body}, **token)
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json()
    return found | {"data": base64.b64decode(found.get("data") or "")}


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
    part = bytes(MOST // 2)
    assert call(server, TRIAL, data=part, at=0)["next"] == len(part)
    assert call(server, TRIAL, data=part, at=len(part))["next"] == MOST
    assert call(server, TRIAL, data=b"more", at=MOST)["next"] == MOST, "not taken"
    assert len(call(server, USER, after=0)["data"]) == MOST
    call(server, USER, after=MOST)
    assert call(server, TRIAL, data=b"more", at=MOST)["next"] == MOST + 4


def test_nonsense_is_refused(server: Live) -> None:
    reply = server.ask("PUT", USER, {"attempt": "a", "data": "&&"})
    assert reply.status == 400 and b"no base64" in reply.body
    assert server.ask("PUT", USER, {"attempt": "a", "wait": 1000}).status == 400
