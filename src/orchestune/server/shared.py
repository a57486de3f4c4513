"""One reading for many readers: what several pages show is read once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Items = Mapping[str, bytes]


@dataclass(frozen=True)
class Reading:
    """Documents, and how far what they tell of had counted when they began to be read."""

    version: int
    items: Items


@dataclass
class _Last:
    """What was read last, and when the reading began."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    reading: Reading | None = None


class Shared:
    """Keeps the last readings by key, so many of them. Used on the event loop alone."""

    def __init__(self, kept: int = 200) -> None:
        self._kept = kept
        self._readings: OrderedDict[str, _Last] = OrderedDict()

    async def read(self, key: str, seconds: float, read: Callable[[], Awaitable[Reading]]) -> Reading:
        """What `read` gives: from now, or from up to `seconds` ago if somebody else asked then."""
        last = self._readings.setdefault(key, _Last())
        self._readings.move_to_end(key)
        while len(self._readings) > self._kept:
            self._readings.popitem(last=False)
        asked = time.monotonic()
        async with last.lock:
            if last.reading is None or last.at < asked - seconds:
                began = time.monotonic()
                last.reading, last.at = await read(), began  # together: one that fails, or is given up, is none
            return last.reading
