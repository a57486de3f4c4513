"""In-process notifications between threads and coroutines: for long polls, streams and controllers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, defaultdict
from itertools import islice

EXPERIMENTS = "experiments"
"""Topic of changes in any experiment, for clients that show a list."""
ACTING, SUGGESTING, NOTIFYING = "acting", "suggesting", "notifying"
"""Topics of the controller loops: resources are started and ended, queues are filled, messages are sent."""

_MAX_SIGNALS = 10_000
"""Upper bound of the stored topics: a server that runs for months has many more experiments and trials."""


class Signals:
    """Counters by topic: threads increment one to tell others of a change, coroutines and threads wait for the next.

    Only a hint to read again: the rows are the source of truth. Topics: `work:ID` (the experiment has something to
    lease, or a stop order is pending), `events:ID`, `logs:ID`, `terminal:ATTEMPT`, `experiments`, `acting`,
    `suggesting` and `notifying`. To miss no change, read the counter first, then the rows, then wait for the counter
    to change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Condition] = {}
        """One condition per topic: waking threads of other topics costs more than the statements of a trial."""
        self._versions: OrderedDict[str, int] = OrderedDict()
        """Topic → version, the least recently incremented first; all versions come from the single `_count`."""
        self._count = self._forgotten = 0
        """Last version assigned, and highest version of the evicted topics. The latter is the version of every topic
        that is not stored, which costs its waiters at most one spurious wakeup."""
        self._waiting: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = defaultdict(dict)
        """Waiting coroutines by topic, the longest waiting first."""
        self._awaited: OrderedDict[str, float] = OrderedDict()
        """Topic → monotonic time at which a coroutine last stopped to wait for it, the oldest first."""
        self.without_memory: set[str] = set()
        """Experiments whose engine ignores results, so that a result need not wake the `suggesting` loop."""

    def version(self, topic: str) -> int:
        """Return the current counter of `topic`."""
        with self._lock:
            return self._version(topic)

    def notify(self, *topics: str) -> None:
        """Increment the counters and wake all waiters. Thread-safe; never blocks for long."""
        with self._lock:
            for topic in topics:
                self._move_on(topic)
                for event, loop in self._waiting.pop(topic, {}).items():
                    _wake(event, loop)

    def offer(self, topic: str, count: int) -> None:
        """Increment the counter and wake only `count` coroutines, the longest waiting first: for `count` items.

        A woken waiter that cannot take its item must call `offer` again.
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
            if (present := self._version(topic)) != version:
                return present
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
                self._awaited[topic] = time.monotonic()
                self._awaited.move_to_end(topic)
                while len(self._awaited) > _MAX_SIGNALS:
                    self._awaited.popitem(last=False)
        return self.version(topic)

    def is_awaited(self, topic: str, seconds: float) -> bool:
        """Return True if a coroutine waits for `topic`, or did so within the last `seconds`."""
        with self._lock:
            last = self._awaited.get(topic)
            return topic in self._waiting or (last is not None and time.monotonic() - last <= seconds)

    def wait_blocking(self, topic: str, version: int, timeout: float) -> int:
        """Block a thread like `wait`."""
        with self._lock:
            moved = self._threads.setdefault(topic, threading.Condition(self._lock))
            moved.wait_for(lambda: self._version(topic) != version, timeout)
            return self._version(topic)

    def _version(self, topic: str) -> int:
        return self._versions.get(topic, self._forgotten)

    def _move_on(self, topic: str) -> None:
        self._count += 1
        self._versions[topic] = self._count
        self._versions.move_to_end(topic)
        while len(self._versions) > _MAX_SIGNALS:
            _, self._forgotten = self._versions.popitem(last=False)
        if topic in self._threads:
            self._threads[topic].notify_all()


def _wake(event: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
