"""What was computed last, for whoever looks again and again, as pages do."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 50


class Recent(Generic[T]):
    """One thing for each of the last keys. Any thread; two that come at once may both make it.

    `rest`: a thing that took a second to make is shown for so many seconds although it has changed since.
    """

    def __init__(self, rest: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest, self._clock = rest, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Hashable, float, T]] = OrderedDict()

    def get(self, key: Hashable, version: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns for this version, or did for one before while it rests."""
        began = self._clock()
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and (kept[0] == version or began < kept[1]):
            return kept[2]
        made = make()
        ended = self._clock()
        with self._lock:
            self._kept[key] = version, ended + self._rest * (ended - began), made
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return made
