"""Turns: few requests of a kind at a time, the others wait outside of the threads. Used on the event loop alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A semaphore for each key that is in use, which admits `at_once` requests."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._semaphores: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Wait until fewer than `at_once` other requests with this key have their turn, first come, first served."""
        semaphore, users = self._semaphores.get(key) or (asyncio.Semaphore(self._at_once), 0)
        self._semaphores[key] = (semaphore, users + 1)
        try:
            async with semaphore:
                yield
        finally:
            semaphore, users = self._semaphores.pop(key)
            if users > 1:
                self._semaphores[key] = (semaphore, users - 1)
