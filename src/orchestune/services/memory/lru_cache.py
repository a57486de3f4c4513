"""LRU caches for results that clients, such as polling pages, request repeatedly."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class LruCache(OrderedDict[K, T]):
    """Mapping bounded to the `most` entries that were kept last."""

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self._most = max_entries

    def keep(self, key: K, value: T) -> T:
        """Insert or refresh the entry as the newest one, evict the oldest ones beyond the bound, and return `value`."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)
        return value


class Recent(Generic[T]):
    """Cache of one versioned value for each of the last `kept` keys, fewer if their sizes exceed `most` together.

    Thread-safe; two threads that miss at the same time may both compute the value.
    """

    def __init__(self, kept: int = 50, most: float = math.inf, size: Callable[[T], float] = lambda _: 0) -> None:
        """`size`: the size of a value in the unit of `most`. A larger one than `most` is not kept."""
        self._lock = threading.Lock()
        self._entries: LruCache[Hashable, tuple[Hashable, T]] = LruCache(kept)
        self._most, self._size_of = most, size

    def get(self, key: Hashable, version: Hashable, make: Callable[[], T]) -> T:
        """Return the cached value of this version, or compute it with `make`."""
        return self.updated(key, version, lambda _: make())

    def updated(self, key: Hashable, version: Hashable, make: Callable[[T | None], T]) -> T:
        """Return the cached value like `get`; on a miss `make` gets that of another, possibly later version or None."""
        with self._lock:
            entry = self._entries.get(key)
        if entry is not None and entry[0] == version:
            return entry[1]
        value = make(entry[1] if entry is not None else None)
        with self._lock:
            self._entries.keep(key, (version, value))
            while self._entries and sum(self._size_of(kept) for _, kept in self._entries.values()) > self._most:
                self._entries.popitem(last=False)
        return value
