"""What was computed last, for whoever looks again and again, as pages do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """One thing for each of the last `kept` keys. Any thread; two that come at once may both make it."""

    def __init__(self, kept: int = 50) -> None:
        self._most = kept
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Hashable, T]] = OrderedDict()

    def get(self, key: Hashable, version: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns for this version."""
        return self.grown(key, version, lambda _: make())

    def grown(self, key: Hashable, version: Hashable, make: Callable[[T | None], T]) -> T:
        """The same; `make` gets what it returned last for another version, which may be a later one."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[0] == version:
            return kept[1]
        made = make(kept[1] if kept is not None else None)
        with self._lock:
            self._kept[key] = version, made
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made
