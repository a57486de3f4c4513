"""Shared reads: concurrent requests for the same document cause one read."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from orchestune.services.memory.lru_cache import LruCache

T = TypeVar("T")

_MIN_READ_INTERVAL_FACTOR = 10.0
"""start reads at least 10x the last read's duration apart, so that they take at most about 10 % of the time"""
_MAX_AGE_SECONDS = 10.0
"""seconds after which a document is read again without a change: it may depend on the current time"""


@dataclass
class _LastRead(Generic[T]):
    """The last read of a key, and the time of its start."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    started_at: float = float("-inf")
    seconds: float = 0.0
    version: float = float("-inf")
    documents: list[T] = field(default_factory=list)
    """the document, empty before the first read"""


class SharedReads(Generic[T]):
    """Keeps the last reads of up to `max_keys` keys, fewer if their sizes exceed `max_size` together.

    Used on the event loop only.
    """

    def __init__(
        self, max_keys: int = 200, max_size: float = math.inf, size: Callable[[T], float] = lambda document: 0
    ) -> None:
        """`size`: the size of a document in the unit of `max_size`. The last one is kept, however large it is."""
        self._reads: LruCache[str, _LastRead[T]] = LruCache(max_keys)
        self._max_size, self._size_of = max_size, size

    async def read(self, key: str, seconds: float, read: Callable[[], Awaitable[T]]) -> T:
        """Return the document from `read`, or one that another request read up to `seconds` ago."""
        last = self._of(key)
        now = time.monotonic()
        async with last.lock:
            if not last.documents or last.started_at < now - seconds:
                started = time.monotonic()
                # Set together: a failed or cancelled read leaves no trace.
                last.documents, last.started_at = [await read()], started
                self._evict()
            return last.documents[0]

    def _of(self, key: str) -> _LastRead[T]:
        return self._reads.keep(key, self._reads.get(key) or _LastRead())

    def _evict(self) -> None:
        """Evict the least recently used documents beyond `max_size`; requests that wait for one still get it."""
        sizes = {key: sum(map(self._size_of, last.documents)) for key, last in self._reads.items()}
        total = sum(sizes.values())
        while total > self._max_size and len(self._reads) > 1:
            key, _ = self._reads.popitem(last=False)
            total -= sizes[key]

    def forget(self, key: str) -> None:
        """Drop the last read of a key; one that is in progress is not affected."""
        self._reads.pop(key, None)

    async def fresh(
        self,
        key: str,
        version: Callable[[], float],
        pause: float,
        turn: Callable[[], AbstractAsyncContextManager[None]],
        read: Callable[[], Awaitable[T]],
    ) -> T:
        """Return a current document: from `read`, or an earlier one if `version`, which counts changes, is unchanged.

        Reads start at least `pause` seconds apart, and slow ones less often. Earlier requests wait instead of getting a
        stale document, which a client that does not request again would keep.

        A request waits for its own caller's `turn` before it joins the others: a read in progress has its turn already,
        so no caller is delayed by the queue of another one.
        """
        last, requested_version, now = self._of(key), version(), time.monotonic()
        while not last.documents or last.version < requested_version or last.started_at < now - _MAX_AGE_SECONDS:
            previous = last.started_at
            await asyncio.sleep(previous + max(pause, _MIN_READ_INTERVAL_FACTOR * last.seconds) - time.monotonic())
            async with turn(), last.lock:
                if last.started_at == previous:  # no other request has read it meanwhile
                    started, version_before = time.monotonic(), version()
                    last.documents, last.started_at, last.version = [await read()], started, version_before
                    last.seconds = time.monotonic() - started
                    self._evict()
        return last.documents[0]
