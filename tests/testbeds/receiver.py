"""A web server that gets messages, and behaves as a test says: it takes them, refuses, hangs, drips, redirects."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.testbeds.serving import Handler, Listening, serving
from tests.testbeds.waiting import until


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """by lower-case name"""
    body: bytes
    answer: str
    """how it was answered: a status, or a behaviour"""

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def identity(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """`with Receiver([500, "hang", 200]) as receiver`: what it does with each request in turn; the last one stays."""

    answers: Sequence[int | str] = (200,)
    received: list[Received] = field(default_factory=list)
    elsewhere: str = ""
    """where redirects lead"""
    let_go: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Receiver:
        owner, lock = self, threading.Lock()

        class Taking(Handler):
            timeout = 60

            def do_POST(self) -> None:
                body = self.body()
                with lock:
                    answer = owner.answers[min(len(owner.received), len(owner.answers) - 1)]
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    owner.received.append(Received(self.command, self.path, headers, body, str(answer)))
                with suppress(OSError):
                    owner.behave(self, answer)

        self._stack = ExitStack()
        self.port = self._stack.enter_context(serving(Listening(Taking))).server_port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go.set()
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def behave(self, request: Handler, answer: int | str) -> None:
        if answer == "hang":
            self.let_go.wait(120)
            request.close_connection = True
        elif answer == "drip":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.let_go.wait(0.05):
                request.wfile.write(b".")
            request.close_connection = True
        elif answer == "cut":
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
        elif answer == "garbage":
            request.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            request.close_connection = True
        elif answer == "endless":
            request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(64):
                request.wfile.write(b"x" * (1 << 16))
            request.close_connection = True
        else:
            led = {"Location": self.elsewhere} if 300 <= int(answer) < 400 else {}
            request.send(int(answer), b"ok", {**led, **({"Retry-After": "77"} if answer == 429 else {})})

    def wait(self, count: int) -> list[Received]:
        """The requests, once there are so many."""
        return until(f"{count} requests", lambda: self.received[:] if len(self.received) >= count else None,
                     describe=lambda: self.received)  # fmt: skip

    def accepted(self) -> list[Received]:
        """Return the messages that were answered with success."""
        return [request for request in self.received if request.answer.startswith("2")]
