"""Network thread: exchanges requests and responses with the server, so that the loop never blocks on it."""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from orchestune.worker.connection.api import ApiError, ServerConnection, ServerEndpoint, Unreachable, encoded
from orchestune.worker.waker import leave_signals_to_the_loop

REPORT = "report"
POLL = "poll"


class CallOutcome(NamedTuple):
    """The outcome of a call: a response or an error."""

    channel: str
    answer: Any
    error: ApiError | None


class _Pending(NamedTuple):
    connection: ServerConnection
    deadline: float


class NetworkThread:
    """Two channels with one call in flight each: reports, which are answered immediately, and long polls.

    One thread serves both and queues replies in order of arrival; it calls `wake` after each.
    """

    def __init__(self, server: ServerEndpoint, wake: Callable[[], None]) -> None:
        self._server, self._wake = server, wake
        self._path = server.path("work")
        self._requests: deque[tuple[str, bytes, float]] = deque()
        self.replies: deque[CallOutcome] = deque()
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[0], False)
        os.set_blocking(self._pipe[1], False)
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def call(self, channel: str, body: Any, timeout: float) -> None:
        """Queue a `work` call. Its reply, or an error, arrives within about `timeout` seconds."""
        self._requests.append((channel, encoded(body), timeout))
        try:
            os.write(self._pipe[1], b"x")
        except BlockingIOError:
            pass  # the pipe is full, so the thread wakes anyway

    def _run(self) -> None:
        leave_signals_to_the_loop()
        connections = {name: ServerConnection(self._server) for name in (REPORT, POLL)}
        pending: dict[str, _Pending] = {}
        selector = selectors.DefaultSelector()
        selector.register(self._pipe[0], selectors.EVENT_READ)
        while True:
            earliest = min((call.deadline for call in pending.values()), default=None)
            ready = selector.select(None if earliest is None else max(0.0, earliest - time.monotonic()))
            for name in [name for name in (POLL, REPORT) if name in pending]:  # leases before orders about them
                is_late = time.monotonic() >= pending[name].deadline
                if is_late or any(key.data == name for key, _ in ready):
                    self._receive(name, pending.pop(name).connection, selector, is_late)
            if any(key.data is None for key, _ in ready):
                os.read(self._pipe[0], 4096)
            while self._requests:
                name, data, timeout = self._requests.popleft()
                call = self._send(name, connections[name], data, timeout, selector)
                if call is not None:
                    pending[name] = call

    def _send(
        self, name: str, connection: ServerConnection, data: bytes, timeout: float, selector: selectors.BaseSelector
    ) -> _Pending | None:
        try:
            sock = connection.send("POST", self._path, data, 15.0)
        except ApiError as exc:
            self._reply(CallOutcome(name, None, exc))
            return None
        selector.register(sock, selectors.EVENT_READ, name)
        return _Pending(connection, time.monotonic() + timeout)

    def _receive(
        self, name: str, connection: ServerConnection, selector: selectors.BaseSelector, is_late: bool
    ) -> None:
        for key in [key for key in selector.get_map().values() if key.data == name]:
            selector.unregister(key.fileobj)
        if is_late:
            connection.close()
            self._reply(CallOutcome(name, None, Unreachable("the server did not respond in time")))
            return
        try:
            _, data = connection.receive()
            self._reply(CallOutcome(name, json.loads(data), None))
        except ApiError as exc:
            self._reply(CallOutcome(name, None, exc))
        except ValueError:
            connection.close()
            self._reply(CallOutcome(name, None, Unreachable("the server's response is not valid JSON")))

    def _reply(self, reply: CallOutcome) -> None:
        self.replies.append(reply)
        self._wake()
