"""Follows one experiment: its events as they occur, and its status with a limited request rate."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from orchestune.client.api import Client
from orchestune.errors import OrchestuneError, TemporaryError

if TYPE_CHECKING:
    from orchestune import documents
    from orchestune.client.connection.stream import ServerSentEvent

_KINDS = ("experiment_state", "experiment_changed", "attempt_started", "trial_requeued", "trial_finished")
"""events that trigger a status request; short trials cause several others each"""
_MAX_REQUEST_PAUSE_SECONDS = 5.0
"""upper bound in seconds between status requests: a slow response may have waited for a new server"""
GIVE_UP = 600.0
"""seconds without any server after which following ends"""


@dataclass(frozen=True)
class ServerUnreachable:
    """The server, or its store, does not answer; following continues."""

    error: TemporaryError


Update: TypeAlias = "documents.Status | ServerSentEvent | ServerUnreachable | OrchestuneError"
"""An OrchestuneError ends the watch."""


class Watch:
    """Two threads, one per connection, that fill `updates`, so that the UI thread never blocks on the network."""

    def __init__(self, client: Client, ref: str, *, events: bool = True) -> None:
        self.updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self._client, self._ref = client, ref
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._wanted = events

    def start(self) -> Watch:
        """Start both threads; the first update is the status."""
        threading.Thread(target=self._guarded, args=(self._fetch,), daemon=True, name="status").start()
        threading.Thread(target=self._guarded, args=(self._listen,), daemon=True, name="events").start()
        return self

    def stop(self) -> None:
        """Stop both threads soon, without waiting for them."""
        self._stopped.set()
        self._changed.set()

    def _guarded(self, work: Callable[[Client], None]) -> None:
        try:
            with closing(self._client.clone(retry_seconds=2.0)) as client:
                work(client)
        except OrchestuneError as exc:
            self.updates.put(exc)
            self.stop()

    def _listen(self, client: Client) -> None:
        for event in client.events(self._ref, on_away=lambda error: self._changed.set(), kinds=_KINDS):
            if self._wanted:
                self.updates.put(event)
            self._changed.set()
            if self._stopped.is_set():
                return

    def _fetch(self, client: Client) -> None:
        unreachable_since: float | None = None
        while not self._stopped.is_set():
            self._changed.clear()
            started = time.monotonic()
            try:
                status = client.experiment(self._ref)
            except TemporaryError as exc:
                unreachable_since = unreachable_since or started
                if started - unreachable_since > GIVE_UP:
                    raise
                self.updates.put(ServerUnreachable(exc))
                self._stopped.wait(0.5)
                continue
            unreachable_since = None
            self.updates.put(status)
            request_seconds = time.monotonic() - started
            self._stopped.wait(
                min(max(0.25, 4 * request_seconds), _MAX_REQUEST_PAUSE_SECONDS)
            )  # lower the request rate to a server under load
            # poll without events too: workers and reasons may change without one
            self._changed.wait(2.0)
