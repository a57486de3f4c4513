"""The worker's event loop, which also decides when the worker exits: done, told to stop, or given up on its server."""

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
    MAX_UNREACHABLE_SECONDS,
    ApiError,
    Backoff,
    Denied,
    ServerConnection,
    ServerEndpoint,
    Unreachable,
    WorkerGone,
    node_name,
)
from orchestune.worker.connection.conversation import Conversation, worker_stopped
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

SHUTDOWN_REPORT_SECONDS = 5.0
"""seconds for which a worker that shuts down retries reports to an unreachable server"""
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
        self._stop_requested = False
        self._stop_since: float | None = None
        self._child_exited = False
        self._starts = ThreadPool(1, self._waker.wake, "starts")

    def run(self) -> int:
        """Run until the worker is drained, stopped or rejected. Return the exit code."""
        self._install_handlers()
        try:
            hello = self._register()
        except ApiError as exc:
            say(f"exiting: the server rejected this worker: {exc}")
            return 1
        if hello is None:
            return 0
        self._create_parts(hello)
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(0.0005)
        try:
            while not self._is_done():
                self._run_once()
            must_restart = self._conversation.must_restart and not self._stop_requested
            code = guard.EXIT_RESTART if must_restart else 0
            say("continuing with another experiment" if must_restart else DONE)
        except WorkerGone as exc:
            code = 0
            say(f"exiting: {exc}")
        except Denied as exc:
            code = 1
            self._spool_results()
            say(f"exiting: the server rejected this worker's token: {exc}")
        self._kill_descendants([])
        self._supervisor.clean_up()
        return code

    def _install_handlers(self) -> None:
        self._waker.listen_to_signals()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, self._on_child)
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self._selector.register(self._line.worker_end, selectors.EVENT_READ, None)

    def _on_stop(self, number: int, frame: object) -> None:
        self._stop_requested = True

    def _on_child(self, number: int, frame: object) -> None:
        self._child_exited = True

    def _register(self) -> dict[str, Any] | None:
        body = {
            "protocol": PROTOCOL, "version": VERSION, "boot": self._boot, "node": node_name(), "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "capabilities": list(CAPABILITIES),
            "tags": dict(self._settings.tags),
        }  # fmt: skip
        connection, backoff, started_at, is_logged = ServerConnection(self._server), Backoff(), time.monotonic(), False
        try:
            while not self._stop_requested and time.monotonic() - started_at < MAX_UNREACHABLE_SECONDS:
                try:
                    response: dict[str, Any] = connection.call("POST", self._server.path("register"), body)
                    self._server.token = str(response.get("token") or self._server.token)  # it may change experiments
                    return response
                except WorkerGone as exc:
                    say(f"exiting: {exc}")
                    return None
                except Unreachable as exc:
                    if not is_logged:
                        say(f"{exc}; retrying")
                        is_logged = True
                self._wait(backoff.next())
        finally:
            connection.close()
        return None

    def _create_parts(self, hello: dict[str, Any]) -> None:
        settings = self._settings
        state = settings.state
        self._reporting, self._spool = Reporting(), Spool(state / "spool" / settings.worker)
        self._crew, self._uploads = ThreadPool(4, self._waker.wake, "crew"), ThreadPool(4, self._waker.wake, "uploads")
        self._checkpoints = ThreadPool(4, self._waker.wake, "checkpoints")
        outbox = Outbox(state / "outbox" / settings.worker)
        self._collector = Collector(self._server, outbox, self._crew, self._uploads, self._checkpoints)
        preparation = self._preparation = Preparation(settings, self._server, self._environ, hello)
        self._supervisor = Supervisor(
            settings, preparation, self._reporting, self._spool, self._crew, self._starts, self._collector,
            self._selector, self._line,
        )  # fmt: skip
        self._supervisor.capacity = int(hello.get("slots") or settings.slots)
        network = NetworkThread(self._server, self._waker.wake)
        interval, uploads = float(hello.get("beat_seconds") or 2.0), self._uploads
        self._conversation = Conversation(
            network, self._reporting, self._supervisor, self._spool, self._boot, interval, lambda: uploads.busy
        )
        for record in self._spool.load():
            self._reporting.add(record)
        self._collector.resume()
        network.start()
        say(f"{hello['name']} of {hello['handle']}: at most {self._supervisor.capacity} attempts at a time")

    def _run_once(self) -> None:
        supervisor, conversation = self._supervisor, self._conversation
        if self._stop_requested and self._stop_since is None:
            self._start_shutdown()
        now = time.monotonic()
        conversation.step(now)
        next_event = 0.0 if supervisor.waiting.startable else min(supervisor.next_tick(), conversation.next_step())
        self._wait(max(0.0, next_event - time.monotonic()))
        self._starts.deliver()
        if self._child_exited:
            self._child_exited = False
            supervisor.reap()
        now = time.monotonic()
        conversation.receive(now)
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
                self._waker.drain()
            else:
                say("the guard has died: killing all attempts")
                self._kill_descendants(self._line.groups())
                os._exit(1)

    def _kill_descendants(self, groups: list[int]) -> None:
        self._starts.shut_down(1.0)  # otherwise a process that is just starting would be missed
        guard.kill_descendants(groups)

    def _start_shutdown(self) -> None:
        self._stop_since = time.monotonic()
        say("shutting down")
        self._conversation.draining = self._preparation.is_closing = True
        self._supervisor.stop_all(worker_stopped(self._environ, time.time()))
        self._collector.close(SHUTDOWN_REPORT_SECONDS)

    def _is_done(self) -> bool:
        conversation, supervisor = self._conversation, self._supervisor
        if supervisor.attempts or supervisor.waiting or self._crew.busy:
            return False
        unreachable_seconds = time.monotonic() - conversation.last_answer
        stopping_seconds = 0.0 if self._stop_since is None else time.monotonic() - self._stop_since
        if conversation.is_unreachable:
            has_tried_to_report = min(unreachable_seconds, stopping_seconds) > SHUTDOWN_REPORT_SECONDS
            if unreachable_seconds > MAX_UNREACHABLE_SECONDS or has_tried_to_report:
                self._spool_results()
                return True
        return (conversation.drained or conversation.draining) and conversation.quiet and not self._uploads.busy

    def _spool_results(self) -> None:
        """Save unacknowledged results to the spool; the next worker with this id reports them."""
        for record in self._reporting.records.values():
            if record.result is not None:
                self._spool.save(record)
