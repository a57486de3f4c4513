"""What was used last, and what was computed last, for whoever looks again and again, as pages do."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Latest(OrderedDict[K, T]):
    """Remembers so many entries: those that were kept last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: T) -> T:
        """Remember it as the last one; it is returned."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)
        return value


class Recent(Generic[T]):
    """One thing for each of the last `kept` keys. Any thread; two that come at once may both make it."""

    def __init__(self, kept: int = 50) -> None:
        self._lock = threading.Lock()
        self._kept: Latest[Hashable, tuple[Hashable, T]] = Latest(kept)

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
            self._kept.keep(key, (version, made))
        return made
