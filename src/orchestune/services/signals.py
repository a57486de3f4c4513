"""Who waits for what inside one server process: long polls, streams and controllers."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict


class Signals:
    """Counters by topic that threads bump and coroutines or threads wait on. A hint, never a truth: rows are.

    Topics: `work:ID` (something may be leased in that experiment, or an order waits), `events:ID`, `logs:ID`, and
    `controllers`. A waiter reads the counter first, then the rows, then waits for the counter to move on.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._versions: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(set)

    def version(self, topic: str) -> int:
        """The present counter of `topic`."""
        with self._lock:
            return self._versions[topic]

    def notify(self, *topics: str) -> None:
        """Move the counters on and wake whoever waits. Any thread; never blocks for long."""
        with self._lock:
            for topic in topics:
                self._versions[topic] += 1
                for loop, event in self._waiting.pop(topic, ()):
                    if not loop.is_closed():
                        loop.call_soon_threadsafe(event.set)
            self._lock.notify_all()

    async def wait(self, topic: str, version: int, timeout: float) -> int:
        """Return the counter once it differs from `version`, or after `timeout` seconds."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        with self._lock:
            if self._versions[topic] != version:
                return self._versions[topic]
            self._waiting[topic].add(entry)
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting[topic].discard(entry)
                if not self._waiting[topic]:
                    del self._waiting[topic]
        return self.version(topic)

    def wait_blocking(self, topic: str, version: int, timeout: float) -> int:
        """`wait` for threads."""
        with self._lock:
            self._lock.wait_for(lambda: self._versions[topic] != version, timeout)
            return self._versions[topic]
