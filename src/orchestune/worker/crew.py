"""Threads for what takes long; what becomes of it is told in the loop's own thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Crew:
    """Runs functions beside the loop. `deliver`, called by the loop, hands each result to its `then`."""

    def __init__(self, threads: int, wake: Callable[[], None], name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._wake = wake
        self._done: deque[tuple[Callable[[Any, BaseException | None], None], Future[Any]]] = deque()
        self.busy = 0

    def run(self, work: Callable[[], Any], then: Callable[[Any, BaseException | None], None]) -> None:
        """Do `work` in a thread, and later `then(result, error)` in the loop."""
        self.busy += 1

        def done(future: Future[Any]) -> None:
            self._done.append((then, future))
            self._wake()

        self._pool.submit(work).add_done_callback(done)

    def deliver(self) -> None:
        """Tell what was done since the last time."""
        while self._done:
            then, future = self._done.popleft()
            self.busy -= 1
            error = future.exception()
            then(None if error else future.result(), error)
