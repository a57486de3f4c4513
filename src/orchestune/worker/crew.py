"""Threads for what takes long; what becomes of it is told in the loop's own thread."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from orchestune.worker.waker import leave_signals_to_the_loop


class Crew:
    """Runs functions beside the loop. `deliver`, called by the loop, hands each result to its `then`.

    A queue, and not the futures of an executor: with them a worker starts two commands fewer of a hundred.
    """

    def __init__(self, threads: int, wake: Callable[[], None], name: str) -> None:
        self._most, self._name = threads, name
        self._threads: list[threading.Thread] = []
        self._ended = False
        self._wake = wake
        self._todo: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        self._done: deque[tuple[Callable[[Any, BaseException | None], None], Any, BaseException | None]] = deque()
        self.busy = 0

    def run(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        """Do `work` in a thread, and later `then(result, error)` in the loop. OSError to `then`: there is no thread."""
        self.busy += 1
        if len(self._threads) < min(self.busy, self._most):
            self._grow()
        if self._threads:
            self._todo.put((work, then))
        else:
            self._done.append((then, None, OSError(errno.EAGAIN, "no thread can be started")))
            self._wake()

    def deliver(self) -> None:
        """Tell what was done since the last time."""
        while self._done:
            then, result, error = self._done.popleft()
            self.busy -= 1
            then(result, error)

    def end(self, seconds: float) -> None:
        """Begin nothing more, and wait for what was begun, for a while."""
        self._ended = True
        until = time.monotonic() + seconds
        for thread in self._threads:
            self._todo.put((None, None))
            thread.join(max(0.0, until - time.monotonic()))

    def _grow(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # as many run here as are allowed
            return
        self._threads.append(thread)

    def _work(self) -> None:
        leave_signals_to_the_loop()
        while True:
            work, then = self._todo.get()
            if self._ended:
                return
            try:
                result, error = work(), None
            except BaseException as exc:  # noqa: BLE001 - the loop is told of anything
                result, error = None, exc
            self._done.append((then, result, error))
            self._wake()
