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

_REST = 10.0
"""minimum interval between the starts of two reads, as a multiple of the last one's duration: reads take at most about
10 % of the time"""
_OLD = 10.0
"""seconds after which a document is read again without a change: it may depend on the current time"""


@dataclass
class _Last(Generic[T]):
    """The last read of a key, and the time of its start."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    took: float = 0.0
    version: float = float("-inf")
    found: list[T] = field(default_factory=list)
    """the document, empty before the first read"""


class SharedReads(Generic[T]):
    """Keeps the last reads of up to `kept` keys, fewer if their sizes exceed `most` together. Used on the event loop
    only.
    """

    def __init__(
        self, kept: int = 200, most: float = math.inf, size: Callable[[T], float] = lambda document: 0
    ) -> None:
        """`size`: the size of a document in the unit of `most`. The last one is kept, however large it is."""
        self._readings: LruCache[str, _Last[T]] = LruCache(kept)
        self._most, self._size_of = most, size

    async def read(self, key: str, seconds: float, read: Callable[[], Awaitable[T]]) -> T:
        """Return the document from `read`, or one that another request read up to `seconds` ago."""
        last = self._of(key)
        asked = time.monotonic()
        async with last.lock:
            if not last.found or last.at < asked - seconds:
                began = time.monotonic()
                last.found, last.at = [await read()], began  # set together: a failed or cancelled read leaves no trace
                self._evict()
            return last.found[0]

    def _of(self, key: str) -> _Last[T]:
        return self._readings.keep(key, self._readings.get(key) or _Last())

    def _evict(self) -> None:
        """Evict the least recently used documents beyond `most`; requests that wait for one of them still get it."""
        sizes = {key: sum(map(self._size_of, last.found)) for key, last in self._readings.items()}
        total = sum(sizes.values())
        while total > self._most and len(self._readings) > 1:
            key, _ = self._readings.popitem(last=False)
            total -= sizes[key]

    def forget(self, key: str) -> None:
        """Drop the last read of a key; one that is in progress is not affected."""
        self._readings.pop(key, None)

    async def fresh(
        self,
        key: str,
        version: Callable[[], float],
        pause: float,
        turn: Callable[[], AbstractAsyncContextManager[None]],
        read: Callable[[], Awaitable[T]],
    ) -> T:
        """Return the document from `read`, or an earlier one if `version`, which counts changes, is unchanged.

        Reads start at least `pause` seconds apart, and slow ones less often. Earlier requests wait instead of getting a
        stale document, which a client that does not request again would keep.

        A request waits for its own caller's `turn` before it joins the others: a read in progress has its turn already,
        so no caller is delayed by the queue of another one.
        """
        last, asked, arrived = self._of(key), version(), time.monotonic()
        while not last.found or last.version < asked or last.at < arrived - _OLD:
            before = last.at
            await asyncio.sleep(before + max(pause, _REST * last.took) - time.monotonic())
            async with turn(), last.lock:
                if last.at == before:  # no other request has read it meanwhile
                    began, counted = time.monotonic(), version()
                    last.found, last.at, last.version = [await read()], began, counted
                    last.took = time.monotonic() - began
                    self._evict()
        return last.found[0]
