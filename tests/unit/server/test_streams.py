from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from http.client import HTTPResponse
from typing import Any

import pytest

from orchestune.errors import NotFound, OrchestuneError, StoreUnavailable
from orchestune.server.context import ServerTimeouts
from tests.unit.server.harness import OWNER, Live, live, until

PATH = "/api/v1/experiments/sgd/events"
LOGS = "/api/v1/experiments/sgd/logs"


class Rows:
    """Events of an experiment, which a test lets happen."""

    def __init__(self, count: int = 0, over: bool = False) -> None:
        self.count, self.over = count, over
        self.text = ""

    def events(
        self, core: Any, ref: str, after: int, limit: int, kinds: Sequence[str], most: int = 0
    ) -> dict[str, Any]:
        over = self.over
        numbers = range(after + 1, min(after + limit, self.count) + 1)
        items = [{"seq": n, "at": "t", "actor": "ada", "kind": "trial_finished", "data": self.text} for n in numbers]
        last = numbers[-1] if numbers else after
        more = len(items) >= limit
        return {"items": items, "next": last, "more": more, "over": over and last >= self.count}

    def logs(
        self, core: Any, ref: str, after: int, limit: int, trial: Any, since: Any, tail: int | None
    ) -> dict[str, Any]:
        if tail is not None:
            after = max(after, self.count - tail)
        items = [{"cursor": n, "text": f"line {n}\n"} for n in range(after + 1, min(after + limit, self.count) + 1)]
        more = len(items) == limit
        return {"items": items, "next": after + len(items), "more": more, "over": self.over and not more}


def blocks(response: HTTPResponse) -> Iterator[dict[str, str]]:
    """The stream's blocks as fields; a comment has the name `comment`."""
    block: dict[str, str] = {}
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if line == b"\n":
            yield block
            block = {}
        else:
            block[name or "comment"] = value


def watch(server: Live, rows: Rows, path: str = PATH, **headers: str) -> Iterator[dict[str, str]]:
    server.script.answers.update(events=rows.events, logs=rows.logs)
    response = server.stream(path, {name.replace("_", "-"): value for name, value in headers.items()})
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert response.headers["Cache-Control"] == "no-store"
    stream = blocks(response)
    assert next(stream) == {"retry": "1000"}
    return stream


def ids(stream: Iterator[dict[str, str]], count: int) -> list[int]:
    return [int(next(stream)["id"]) for _ in range(count)]


def test_a_stream_sends_what_happened_and_what_happens_and_ends_with_the_experiment(server: Live) -> None:
    rows = Rows(count=2)
    stream = watch(server, rows)
    first = next(stream)
    assert (first["id"], first["event"]) == ("1", "trial_finished")
    assert json.loads(first["data"])["seq"] == 1
    assert ids(stream, 1) == [2]
    rows.count = 4
    server.core.signals.notify("events:exp-1")
    assert ids(stream, 2) == [3, 4]
    rows.over = True
    server.core.signals.notify("events:exp-1")
    assert next(stream) == {"event": "end", "data": "{}"}
    assert list(stream) == []


@pytest.mark.parametrize("length", [0, 99, 100, 101, 350])
def test_a_long_history_comes_whole_and_in_order(server: Live, length: int) -> None:
    stream = list(watch(server, Rows(length, over=True)))
    assert [int(block["id"]) for block in stream[:-1]] == list(range(1, length + 1))
    assert stream[-1]["event"] == "end"


def test_events_are_read_where_no_thread_takes_turns_with_what_workers_bring_and_logs_beside_it(server: Live) -> None:
    readers: dict[str, set[str]] = {"events": set(), "logs": set()}

    class Watched(Rows):
        def events(self, *args: Any) -> dict[str, Any]:
            readers["events"].add(threading.current_thread().name)
            return super().events(*args)

        def logs(self, *args: Any) -> dict[str, Any]:
            readers["logs"].add(threading.current_thread().name)
            return super().logs(*args)

    for path in (PATH, LOGS):
        assert len(list(watch(server, Watched(250, over=True), path))) == 251
    threads = {kind: {name for name in names if name.startswith("AnyIO")} for kind, names in readers.items()}
    assert len(readers["events"] - threads["events"]) == 1, "the event loop, but for the first batch"
    assert readers["logs"] == threads["logs"]


def test_a_stream_resumes_after_the_last_event_it_sent(server: Live) -> None:
    rows = Rows(5, over=True)
    assert [block.get("id") for block in watch(server, rows, f"{PATH}?after=3")] == ["4", "5", None]
    assert [block.get("id") for block in watch(server, rows, f"{PATH}?after=1", Last_Event_ID="4")] == ["5", None]
    assert server.ask("GET", PATH, headers={"Accept": "text/event-stream", "Last-Event-ID": "x"}).status == 400


def test_an_error_has_its_status_before_the_stream_begins(server: Live) -> None:
    server.script.answers["resolve"] = NotFound("there is no experiment 'sgd'")
    assert server.stream(PATH).status == 404


def test_without_the_accept_header_it_is_a_page(server: Live) -> None:
    server.script.answers["events"] = Rows(3, over=True).events
    document = server.ask("GET", f"{PATH}?after=1").json()
    assert ([item["seq"] for item in document["items"]], document["next"]) == ([2, 3], 3)
    assert "over" not in document


def test_the_logs_follow_from_the_tail_on(server: Live) -> None:
    rows = Rows(10)
    stream = watch(server, rows, f"{LOGS}?tail=2&trial=3")
    assert next(stream) == {"id": "9", "event": "log", "data": '{"cursor":9,"text":"line 9\\n"}'}
    assert ids(stream, 1) == [10]
    rows.count = 11
    server.core.signals.notify("logs:exp-1")
    assert ids(stream, 1) == [11]
    first, *later = server.script.of("logs")
    assert first == ("exp-1", 0, 100, 3, None, 2)
    assert {args[5] for args in later} == {None}


def test_what_is_logged_after_an_empty_tail_comes_whole(server: Live) -> None:
    rows = Rows(0)
    stream = watch(server, rows, f"{LOGS}?tail=2")
    rows.count = 5
    server.core.signals.notify("logs:exp-1")
    assert ids(stream, 5) == [1, 2, 3, 4, 5]
    rows.over = True
    server.core.signals.notify("logs:exp-1")
    assert list(stream)[-1]["event"] == "end"


def test_a_silent_stream_sends_comments_and_finds_what_no_signal_told() -> None:
    with live(pace=ServerTimeouts(ping=0.05, poll=0.02, gather=0.0)) as server:
        rows = Rows()
        stream = watch(server, rows)
        assert [next(stream) for _ in range(3)] == [{"comment": "ping"}] * 3
        rows.count = 1
        assert next(block for block in stream if "id" in block)["id"] == "1"


def test_many_signals_are_few_reads() -> None:
    with live(pace=ServerTimeouts(gather=0.2, poll=60.0, ping=60.0)) as server:
        rows = Rows()
        stream = watch(server, rows)
        for number in range(1, 301):
            rows.count = number
            server.core.signals.notify("events:exp-1")
        assert ids(stream, 300) == list(range(1, 301))
        assert len(server.script.of("events")) < 100


def test_a_server_that_drains_ends_its_streams_without_saying_that_it_is_over() -> None:
    with live() as server:
        stream = watch(server, Rows(1))
        assert ids(stream, 1) == [1]
        server.server.end()
        assert list(stream) == []
        assert server.ended.wait(60)


def test_a_client_that_hangs_up_leaves_nothing_behind(server: Live) -> None:
    watch(server, Rows())
    server.hang_up()
    until(lambda: not server.server.server_state.tasks, "the stream ends")
    assert server.core.signals._waiting == {}


def test_a_client_that_does_not_read_holds_one_batch_and_does_not_hold_up_the_end() -> None:
    with live() as server, socket.create_connection(("127.0.0.1", server.port)) as lazy:
        rows = Rows(1_000_000)
        rows.text = "x" * 1000
        server.server.config.timeout_graceful_shutdown = 1
        server.script.answers["events"] = rows.events
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = (
            f"GET {PATH} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nAuthorization: Bearer {OWNER}\r\n\r\n"
        )
        lazy.sendall(request.encode())
        reads: list[int] = [0]

        def settled() -> bool:
            reads.append(len(server.script.of("events")))
            server.ask("GET", "/healthz", token=None)
            return len(reads) > 50 and reads[-1] == reads[-50] > 0

        until(settled, "reading stops")
        assert reads[-1] < 200  # of 2,000; what the kernel's buffers take
        server.server.end()
        assert server.ended.wait(60)


@pytest.mark.parametrize("path", [PATH, LOGS, "/api/v1/experiments/sgd"])
@pytest.mark.parametrize("error", [StoreUnavailable("the database is away"), NotFound("it was removed")])
def test_a_stream_ends_where_its_source_is_gone_and_the_log_has_no_trace(
    server: Live, caplog: pytest.LogCaptureFixture, path: str, error: OrchestuneError
) -> None:
    server.script.answers["status"] = {"id": "exp-1"}
    stream = watch(server, Rows(count=1), path)
    assert next(stream)["event"] in ("trial_finished", "log", "status")
    server.script.answers |= dict.fromkeys(("events", "logs", "status"), error)
    for topic in ("events:exp-1", "logs:exp-1"):
        server.core.signals.notify(topic)
    assert all("event" not in block or block["event"] == "ready" for block in stream)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_page_that_is_no_full_one_since_its_lines_are_long_is_followed_by_the_next_at_once(server: Live) -> None:
    rows, waited = Rows(6, over=True), list[str]()
    wait = server.core.signals.wait

    async def watched(topic: str, version: int, timeout: float) -> int:
        waited.append(topic)
        return await wait(topic, version, timeout)

    server.core.signals.wait = watched  # type: ignore[method-assign]

    def logs(core: Any, ref: str, after: int, limit: int, trial: Any, since: Any, tail: Any) -> dict[str, Any]:
        page = rows.logs(core, ref, after, min(limit, 2), trial, since, tail)
        more = page["next"] < rows.count
        return page | {"more": more, "over": not more}

    server.script.answers["logs"] = logs
    stream = blocks(server.stream(LOGS))
    assert next(stream) == {"retry": "1000"}
    assert ids(stream, 6) == [1, 2, 3, 4, 5, 6]
    assert next(stream)["event"] == "end"
    assert not waited
