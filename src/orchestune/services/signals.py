"""Who waits for what inside one server process: long polls, streams and controllers."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from itertools import islice

EXPERIMENTS = "experiments"
"""something happened in any of them, for whoever shows a list"""
ACTING, SUGGESTING, NOTIFYING = "acting", "suggesting", "notifying"
"""the loops of controllers: what starts and ends things, what fills the queues, and what sends messages"""


class Signals:
    """Counters by topic that threads bump and coroutines or threads wait on. A hint, never a truth: rows are.

    Topics: `work:ID` (something may be leased in that experiment, or an order waits), `events:ID`, `logs:ID`,
    `terminal:ATTEMPT`, `experiments`, `acting`, `suggesting` and `notifying`. A waiter reads the counter first, then
    the rows, then waits for the counter to move on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Condition] = {}
        """what threads wait on, by topic: to wake one that waits for another costs more than a trial's statements"""
        self._versions: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = defaultdict(dict)
        """who waits, the longest first"""

    def version(self, topic: str) -> int:
        """The present counter of `topic`."""
        with self._lock:
            return self._versions[topic]

    def notify(self, *topics: str) -> None:
        """Move the counters on and wake whoever waits. Any thread; never blocks for long."""
        with self._lock:
            for topic in topics:
                self._move_on(topic)
                for event, loop in self._waiting.pop(topic, {}).items():
                    _wake(event, loop)

    def offer(self, topic: str, count: int) -> None:
        """`notify` for what only `count` can have: of the coroutines that wait, so many are woken, the longest first.

        Who was woken and cannot take it offers it again.
        """
        with self._lock:
            self._move_on(topic)
            waiting = self._waiting.get(topic, {})
            for event in list(islice(waiting, count)):
                _wake(event, waiting.pop(event))

    async def wait(self, topic: str, version: int, timeout: float) -> int:
        """Return the counter once it differs from `version`, or after `timeout` seconds."""
        event = asyncio.Event()
        with self._lock:
            if self._versions[topic] != version:
                return self._versions[topic]
            self._waiting[topic][event] = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                waiting = self._waiting.get(topic, {})
                waiting.pop(event, None)
                if not waiting:
                    self._waiting.pop(topic, None)
        return self.version(topic)

    def wait_blocking(self, topic: str, version: int, timeout: float) -> int:
        """`wait` for threads."""
        with self._lock:
            moved = self._threads.setdefault(topic, threading.Condition(self._lock))
            moved.wait_for(lambda: self._versions[topic] != version, timeout)
            return self._versions[topic]

    def _move_on(self, topic: str) -> None:
        self._versions[topic] += 1
        if topic in self._threads:
            self._threads[topic].notify_all()


def _wake(event: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
