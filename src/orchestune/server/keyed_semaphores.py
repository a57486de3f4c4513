"""Concurrency limits by key: waiting requests occupy no threads. Used on the event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class KeyedSemaphores:
    """Semaphores by key, each for `at_once` concurrent requests; a key not in use takes no memory."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._semaphores: dict[str, tuple[asyncio.Semaphore, int]] = {}

    def in_use(self, key: str) -> bool:
        """Return True if a request with this key is in progress or waits."""
        return key in self._semaphores

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Wait until fewer than `at_once` other requests with this key are in progress, in order of arrival (FIFO)."""
        semaphore, users = self._semaphores.get(key) or (asyncio.Semaphore(self._at_once), 0)
        self._semaphores[key] = (semaphore, users + 1)
        try:
            async with semaphore:
                yield
        finally:
            semaphore, users = self._semaphores.pop(key)
            if users > 1:
                self._semaphores[key] = (semaphore, users - 1)
