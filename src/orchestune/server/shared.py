"""One reading for many readers: what several pages show is read once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

_KEPT = 200

Items = Mapping[str, bytes]


@dataclass
class _Reading:
    """What was read last, and when the reading began."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    items: Items = field(default_factory=dict)


class Shared:
    """Keeps the last readings by key. Used on the event loop alone."""

    def __init__(self) -> None:
        self._readings: OrderedDict[str, _Reading] = OrderedDict()

    async def read(self, key: str, seconds: float, read: Callable[[], Awaitable[Items]]) -> Items:
        """What `read` gives: from now, or from up to `seconds` ago if somebody else asked then."""
        reading = self._readings.setdefault(key, _Reading())
        self._readings.move_to_end(key)
        while len(self._readings) > _KEPT:
            self._readings.popitem(last=False)
        asked = time.monotonic()
        async with reading.lock:
            if reading.at < asked - seconds:
                reading.at = time.monotonic()
                reading.items = await read()
            return reading.items
