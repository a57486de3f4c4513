"""Who waits for what inside one server process: long polls, streams and controllers."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, defaultdict
from itertools import islice

EXPERIMENTS = "experiments"
"""something happened in any of them, for whoever shows a list"""
ACTING, SUGGESTING, NOTIFYING = "acting", "suggesting", "notifying"
"""the loops of controllers: what starts and ends things, what fills the queues, and what sends messages"""

_KEPT = 10_000
"""topics that are remembered: a server that runs for months has had many more experiments and trials"""


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
        self._versions: OrderedDict[str, int] = OrderedDict()
        """the one that was bumped the longest ago first, since one count gives all of them their numbers"""
        self._count = self._forgotten = 0
        """the last number that was given, and the last of a topic that is not remembered: its, as far as anybody knows,
        who may look once in vain for it"""
        self._waiting: dict[str, dict[asyncio.Event, asyncio.AbstractEventLoop]] = defaultdict(dict)
        """who waits, the longest first"""
        self.without_memory: set[str] = set()
        """experiments whose engine learns nothing from results, so that these concern nobody who fills queues"""

    def version(self, topic: str) -> int:
        """The present counter of `topic`."""
        with self._lock:
            return self._version(topic)

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
        return self.version(topic)

    def wait_blocking(self, topic: str, version: int, timeout: float) -> int:
        """`wait` for threads."""
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
        while len(self._versions) > _KEPT:
            _, self._forgotten = self._versions.popitem(last=False)
        if topic in self._threads:
            self._threads[topic].notify_all()


def _wake(event: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
