"""Connections of clients that are slow, silent or hostile, on a clock that the tests own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from orchestune.server.connections import (
    DISCARD_PAUSE_SECONDS,
    DISCARDED_BYTES_PER_PAUSE,
    MAX_DISCARDED_BYTES,
    MAX_HEADER_BYTES,
    MAX_QUEUED_REQUESTS,
    MIN_UPLOAD_BYTES_PER_SECOND,
    REQUEST_TIMEOUT_SECONDS,
    RESPONSE_TIMEOUT_SECONDS,
    BoundedConnection,
)
from tests.unit.server.harness import TIMEOUT, Live

SILENT = 75
"""seconds that a connection may be silent after an answer"""


class Timer:
    def __init__(self, when: float, run: Callable[[], None]) -> None:
        self._when, self.run, self.cancelled = when, run, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Time passes when a test says so; what is begun is not carried out."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, run: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, run))
        return self.timers[-1]

    def call_later(self, seconds: float, run: Callable[[], None]) -> Timer:
        return self.call_at(self.now + seconds, run)

    def create_task(self, work: Any) -> Any:
        work.close()

        class Task:
            def add_done_callback(self, done: object) -> None:
                return None

        return Task()

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if not timer.cancelled and timer.when() <= end]:
            first = min(due, key=Timer.when)
            self.timers.remove(first)
            self.now = first.when()
            first.run()
        self.now = end


class Wire:
    """The transport."""

    def __init__(self) -> None:
        self.ended = ""
        self.written = b""

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None

    def get_extra_info(self, name: str) -> None:
        return None


async def _nothing(scope: object, receive: object, send: object) -> None:
    """The application."""


class Client:
    """Address of the peer."""

    def __init__(self) -> None:
        self.loop, self.wire = Loop(), Wire()
        config = Config(_nothing, lifespan="off", log_config=None, timeout_keep_alive=SILENT)
        self.connection = BoundedConnection(config, ServerState(), {}, cast(Any, self.loop))
        self.connection.connection_made(cast(Any, self.wire))

    def ended(self) -> str:
        """The end of the connection; empty while it is open."""
        return self.wire.ended

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def drip(self, data: bytes, seconds: float) -> float:
        """Send one byte after the other, so far apart, until the end of either; how long that went well."""
        began = self.loop.now
        for place in range(len(data)):
            if self.wire.ended:
                break
            self.send(data[place : place + 1])
            self.loop.pass_time(seconds)
        return self.loop.now - began

    def is_read(self) -> None:
        """The application takes what has come."""
        self.connection.cycle.body.clear()
        self.connection.flow.resume_reading()

    def hear(self) -> None:
        """The answer is complete."""
        self.connection.cycle.response_complete = True
        self.connection.on_response_complete()


REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SENDS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


def test_who_never_asks_is_let_go() -> None:
    client = Client()
    client.loop.pass_time(REQUEST_TIMEOUT_SECONDS - 1)
    assert not client.ended()
    client.loop.pass_time(2)
    assert client.ended() == "closed"


@pytest.mark.parametrize("data", [b"GET /" + b"a" * 1000, b"\r\n" * 500, REQUEST[:-2] + b"X: " + b"a" * 1000])
def test_who_asks_byte_by_byte_is_let_go(data: bytes) -> None:
    assert Client().drip(data, 1) <= REQUEST_TIMEOUT_SECONDS + 1


def test_an_answer_is_waited_for_and_after_it_a_connection_may_be_silent() -> None:
    client = Client()
    client.send(REQUEST)
    client.loop.pass_time(10 * REQUEST_TIMEOUT_SECONDS)
    assert not client.ended(), "the answer takes its time"
    client.hear()
    client.loop.pass_time(SILENT - 1)
    assert not client.ended()
    client.send(REQUEST[:5])
    client.loop.pass_time(2)
    client.send(REQUEST[5:])
    client.loop.pass_time(2 * SILENT)
    assert not client.ended()


@pytest.mark.parametrize("begun", [REQUEST, SENDS], ids=["nothing", "a body that nobody reads"])
def test_what_is_no_request_does_not_keep_a_connection(begun: bytes) -> None:
    client = Client()
    client.send(begun)
    client.hear()
    assert client.drip(b"\r\n" * 500, 1) <= SILENT + 1


def test_a_body_may_be_slow_as_long_as_it_comes() -> None:
    client = Client()
    client.send(SENDS)
    for _ in range(300):
        client.send(b"x" * MIN_UPLOAD_BYTES_PER_SECOND)
        client.is_read()
        client.loop.pass_time(1)
    assert not client.ended()
    client.loop.pass_time(REQUEST_TIMEOUT_SECONDS - 2)
    assert not client.ended()
    assert client.drip(b"x" * 1000, 1) <= REQUEST_TIMEOUT_SECONDS
    assert client.ended()


def test_while_nobody_reads_a_body_its_client_is_not_late() -> None:
    client = Client()
    client.send(SENDS)
    client.send(b"x" * 100_000)
    client.loop.pass_time(10 * REQUEST_TIMEOUT_SECONDS)
    assert not client.ended()
    client.is_read()
    client.loop.pass_time(REQUEST_TIMEOUT_SECONDS)
    assert client.ended() == "closed"


def test_a_body_that_continues_after_its_response_is_read_slowly_and_not_to_its_end() -> None:
    client = Client()
    client.send(SENDS.replace(b"1000000", b"4000000000"))
    client.hear()
    sent, began = 0, client.loop.now
    while not client.ended():
        if client.connection.flow.read_paused:
            client.loop.pass_time(DISCARD_PAUSE_SECONDS)
        client.send(b"x" * 65536)
        sent += 65536
    assert client.ended() == "aborted" and MAX_DISCARDED_BYTES < sent <= MAX_DISCARDED_BYTES + 65536
    pauses = MAX_DISCARDED_BYTES // DISCARDED_BYTES_PER_PAUSE
    assert client.loop.now - began == pytest.approx(pauses * DISCARD_PAUSE_SECONDS)


def test_a_short_body_after_its_response_keeps_the_connection() -> None:
    client = Client()
    for _ in range(3):
        client.send(SENDS)
        client.hear()
        client.send(b"x" * 1_000_000)
        client.loop.pass_time(1)
    assert not client.ended()


def test_who_takes_nothing_of_an_answer_is_let_go() -> None:
    client = Client()
    client.send(REQUEST)
    client.connection.pause_writing()
    client.loop.pass_time(RESPONSE_TIMEOUT_SECONDS - 1)
    client.connection.resume_writing()
    client.connection.pause_writing()
    client.loop.pass_time(RESPONSE_TIMEOUT_SECONDS - 1)
    assert not client.ended()
    client.loop.pass_time(2)
    assert client.ended() == "aborted"


def test_a_connection_that_is_over_leaves_nothing_behind() -> None:
    client = Client()
    client.connection.pause_writing()
    client.connection.connection_lost(None)
    assert all(timer.cancelled for timer in client.loop.timers)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET /"], ids=["header", "address"])
def test_long_headers_in_one_segment_are_refused(start: bytes) -> None:
    for size, is_refused in ((MAX_HEADER_BYTES - 1000, False), (MAX_HEADER_BYTES + 1000, True)):
        client = Client()
        client.send(start + b"a" * size + (b" HTTP/1.1" if start.endswith(b"/") else b"") + b"\r\n\r\n")
        assert (client.ended() == "closed" and client.wire.written.startswith(b"HTTP/1.1 400")) is is_refused
        assert (client.connection.cycle is None) is is_refused


def test_all_requests_of_a_connection_that_is_lost_are_told() -> None:
    client = Client()
    client.send(REQUEST)
    first = client.connection.cycle
    client.send(REQUEST)
    assert client.connection.cycle is not first
    client.connection.connection_lost(None)
    assert first.disconnected, "it would write to a closed connection"


def test_requests_are_not_queued_without_limit_before_the_response() -> None:
    """Of 256 KiB that are read at once, 14,000 requests took 43 MB, and each response let further ones in."""
    client = Client()
    client.send(REQUEST * (1 + MAX_QUEUED_REQUESTS))
    assert not client.ended()
    client.send(REQUEST * 10_000)
    assert client.ended() == "aborted" and len(client.connection.pipeline) == MAX_QUEUED_REQUESTS


@pytest.mark.parametrize("line", [b"a: b\r\n" * 1000, b"a" * 6000], ids=["many", "one"])
def test_headers_without_an_end_are_refused(server: Live, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        sent = 0
        try:
            while sent < 2**28:
                client.sendall(line)
                sent += len(line)
        except OSError:
            pass
    assert MAX_HEADER_BYTES - len(line) <= sent < 2**28


def test_what_follows_a_body_without_an_end_is_refused(server: Live) -> None:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        sent = 0
        try:
            while sent < 2**28:
                client.sendall(b"a: b\r\n" * 1000)
                sent += 6000
        except OSError:
            pass
    assert sent < 2**28
