"""One reading for many readers: what several pages show is read once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from orchestune.services.recent import Latest

T = TypeVar("T")

_REST = 10.0
"""times as long as a reading took passes before the next one begins"""
_OLD = 10.0
"""seconds after which something is read again though nothing has changed: it may tell of the present time"""


@dataclass
class _Last(Generic[T]):
    """What was read last, and when the reading began."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = float("-inf")
    took: float = 0.0
    version: float = float("-inf")
    found: list[T] = field(default_factory=list)
    """one, or none yet"""


class Shared(Generic[T]):
    """Keeps the last readings by key, so many of them. Used on the event loop alone."""

    def __init__(self, kept: int = 200) -> None:
        self._readings: Latest[str, _Last[T]] = Latest(kept)

    async def read(self, key: str, seconds: float, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` gives: from now, or from up to `seconds` ago if somebody else asked then."""
        last = self._of(key)
        asked = time.monotonic()
        async with last.lock:
            if not last.found or last.at < asked - seconds:
                began = time.monotonic()
                last.found, last.at = [await read()], began  # together: one that fails, or is given up, is none
            return last.found[0]

    def _of(self, key: str) -> _Last[T]:
        return self._readings.keep(key, self._readings.get(key) or _Last())

    async def fresh(self, key: str, version: Callable[[], float], pause: float, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` gives now, or gave for somebody else while nothing has changed: `version` counts changes.

        It is not read more often than every `pause` seconds, and what takes long not for more than a part of the time:
        who asks sooner waits, as an old answer would stay where nobody asks again.
        """
        last, asked = self._of(key), version()
        async with last.lock:
            if not last.found or last.version < asked or time.monotonic() - last.at > _OLD:
                await asyncio.sleep(last.at + max(pause, _REST * last.took) - time.monotonic())
                began, counted = time.monotonic(), version()
                last.found, last.at, last.version = [await read()], began, counted
                last.took = time.monotonic() - began
            return last.found[0]
