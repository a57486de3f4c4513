"""The worker's event loop."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

from orchestune.worker import PROTOCOL, VERSION
from orchestune.worker.attempt import RunningAttempt
from orchestune.worker.connection.api import (
    ALONE,
    ApiError,
    Backoff,
    Denied,
    ServerConnection,
    ServerEndpoint,
    Unreachable,
    WorkerGone,
    node_name,
)
from orchestune.worker.connection.conversation import ASKED_TO_STOP, Conversation
from orchestune.worker.connection.network import NetworkThread
from orchestune.worker.connection.reporting import Reporting
from orchestune.worker.files.collect import Collector
from orchestune.worker.files.spool import Spool
from orchestune.worker.files.uploads import Outbox
from orchestune.worker.journal import DONE, say
from orchestune.worker.prepare import Preparation
from orchestune.worker.processes import guard
from orchestune.worker.processes.guard import Lifeline
from orchestune.worker.settings import Settings
from orchestune.worker.supervisor import Supervisor
from orchestune.worker.thread_pool import ThreadPool
from orchestune.worker.waker import Waker

FAREWELL = 5.0
"""seconds for which a stopping worker keeps trying to report to an unreachable server"""
CAPABILITIES = ("checkpoint", "keep", "usage")


class WorkerLoop:
    """Waits for output, exited processes, server responses, signals and timers; never blocks on network or disk."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], line: Lifeline) -> None:
        self._settings, self._line = settings, line
        self._server = ServerEndpoint(settings.url, settings.endpoint, settings.token, settings.worker)
        self._environ = environ
        self._boot = uuid.uuid4().hex
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._asked_to_stop = False
        self._stop_since: float | None = None
        self._child_ended = False
        self._starts = ThreadPool(1, self._waker.wake, "starts")

    def run(self) -> int:
        """Run until the worker is drained, stopped or rejected. Return the exit code."""
        self._listen()
        try:
            hello = self._register()
        except ApiError as exc:
            say(f"ending, the server does not take this worker: {exc}")
            return 1
        if hello is None:
            return 0
        self._set_up(hello)
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(0.0005)
        try:
            while not self._done():
                self._turn()
            again = self._talk.again and not self._asked_to_stop
            code = guard.AGAIN if again else 0
            say("going on with another experiment" if again else DONE)
        except WorkerGone as exc:
            code = 0
            say(f"ending: {exc}")
        except Denied as exc:
            code = 1
            self._save_ends()
            say(f"ending, the server does not accept this worker: {exc}")
        self._end_descendants([])
        self._supervisor.clean_up()
        return code

    def _listen(self) -> None:
        self._waker.listen_to_signals()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, self._on_child)
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self._selector.register(self._line.end, selectors.EVENT_READ, None)

    def _on_stop(self, number: int, frame: object) -> None:
        self._asked_to_stop = True

    def _on_child(self, number: int, frame: object) -> None:
        self._child_ended = True

    def _register(self) -> dict[str, Any] | None:
        body = {
            "protocol": PROTOCOL, "version": VERSION, "boot": self._boot, "node": node_name(), "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "capabilities": list(CAPABILITIES),
            "tags": dict(self._settings.tags),
        }  # fmt: skip
        connection, backoff, begin, told = ServerConnection(self._server), Backoff(), time.monotonic(), False
        try:
            while not self._asked_to_stop and time.monotonic() - begin < ALONE:
                try:
                    answer: dict[str, Any] = connection.call("POST", self._server.path("register"), body)
                    self._server.token = str(answer.get("token") or self._server.token)  # it may change experiments
                    return answer
                except WorkerGone as exc:
                    say(f"ending: {exc}")
                    return None
                except Unreachable as exc:
                    if not told:
                        say(f"{exc}; trying again")
                        told = True
                self._wait(backoff.next())
        finally:
            connection.close()
        return None

    def _set_up(self, hello: dict[str, Any]) -> None:
        settings = self._settings
        state = settings.state
        self._reporting, self._spool = Reporting(), Spool(state / "spool" / settings.worker)
        self._crew, self._uploads = ThreadPool(4, self._waker.wake, "crew"), ThreadPool(4, self._waker.wake, "uploads")
        self._checkpoints = ThreadPool(4, self._waker.wake, "checkpoints")
        outbox = Outbox(state / "outbox" / settings.worker)
        self._collector = Collector(self._server, outbox, self._crew, self._uploads, self._checkpoints)
        workshop = self._workshop = Preparation(settings, self._server, self._environ, hello)
        self._supervisor = Supervisor(
            settings, workshop, self._reporting, self._spool, self._crew, self._starts, self._collector, self._selector,
            self._line,
        )  # fmt: skip
        self._supervisor.capacity = int(hello.get("slots") or settings.slots)
        network = NetworkThread(self._server, self._waker.wake)
        beat, uploads = float(hello.get("beat_seconds") or 2.0), self._uploads
        self._talk = Conversation(
            network, self._reporting, self._supervisor, self._spool, self._boot, beat, lambda: uploads.busy
        )
        for record in self._spool.load():
            self._reporting.add(record)
        self._collector.resume()
        network.start()
        say(f"{hello['name']} of {hello['handle']} with {self._supervisor.capacity} at a time")

    def _turn(self) -> None:
        supervisor, talk = self._supervisor, self._talk
        if self._asked_to_stop and self._stop_since is None:
            self._begin_to_stop()
        now = time.monotonic()
        talk.step(now)
        nearest = 0.0 if supervisor.waiting.startable else min(supervisor.next_tick(), talk.next_step())
        self._wait(max(0.0, nearest - time.monotonic()))
        self._starts.deliver()
        if self._child_ended:
            self._child_ended = False
            supervisor.reap()
        now = time.monotonic()
        talk.hear(now)
        self._crew.deliver()
        self._uploads.deliver()
        self._checkpoints.deliver()
        supervisor.tick(now)
        supervisor.start_next()

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(min(seconds, 60.0)):
            if isinstance(key.data, RunningAttempt):
                self._supervisor.read(key.data)
            elif key.fileobj is self._waker:
                self._waker.heard()
            else:
                say("the guard is gone; ending everything")
                self._end_descendants(self._line.groups())
                os._exit(1)

    def _end_descendants(self, groups: list[int]) -> None:
        self._starts.end(1.0)  # otherwise a process that is just starting would be missed
        guard.end_descendants(groups)

    def _begin_to_stop(self) -> None:
        self._stop_since = time.monotonic()
        say("asked to stop")
        self._talk.draining = self._workshop.closing = True
        self._supervisor.stop_all(ASKED_TO_STOP)
        self._collector.close(FAREWELL)

    def _done(self) -> bool:
        talk, supervisor = self._talk, self._supervisor
        if supervisor.attempts or supervisor.waiting or self._crew.busy:
            return False
        silent = time.monotonic() - talk.last_answer
        stopping = 0.0 if self._stop_since is None else time.monotonic() - self._stop_since
        if talk.away and (silent > ALONE or min(silent, stopping) > FAREWELL):
            self._save_ends()
            return True
        return (talk.drained or talk.draining) and talk.quiet and not self._uploads.busy

    def _save_ends(self) -> None:
        """Save unreported results to the spool; the next worker with this id reports them."""
        for record in self._reporting.records.values():
            if record.result is not None:
                self._spool.save(record)
