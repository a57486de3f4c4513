"""Concurrency limits by key: waiting requests occupy no threads. Used on the event loop only."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, ExitStack


class KeyedSemaphores:
    """Semaphores by key, each for `at_once` concurrent requests; a key not in use takes no memory."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._semaphores: dict[str, tuple[asyncio.Semaphore, int]] = {}

    def in_use(self, key: str) -> bool:
        """Return True if a request with this key is in progress or waits."""
        return key in self._semaphores

    def of(self, key: str) -> AbstractAsyncContextManager[None]:
        """Wait until fewer than `at_once` other requests with this key are in progress, in order of arrival (FIFO)."""
        return _Turn(self, key)

    async def enter(self, key: str) -> None:
        """Wait for a turn, which `leave` ends."""
        semaphore, users = self._semaphores.get(key) or (asyncio.Semaphore(self._at_once), 0)
        self._semaphores[key] = (semaphore, users + 1)
        with ExitStack() as on_error:
            on_error.callback(self._forget, key)
            await semaphore.acquire()
            on_error.pop_all()

    def leave(self, key: str) -> None:
        """End a turn."""
        self._forget(key).release()

    def _forget(self, key: str) -> asyncio.Semaphore:
        """Count one user of the key's semaphore less, and return the semaphore."""
        semaphore, users = self._semaphores.pop(key)
        if users > 1:
            self._semaphores[key] = (semaphore, users - 1)
        return semaphore


class _Turn(AbstractAsyncContextManager[None]):
    """A turn of a request. A class, since a generator costs more, and every call of a worker takes a turn."""

    __slots__ = ("_key", "_turns")

    def __init__(self, turns: KeyedSemaphores, key: str) -> None:
        self._turns, self._key = turns, key

    async def __aenter__(self) -> None:
        await self._turns.enter(self._key)

    async def __aexit__(self, *error: object) -> None:
        self._turns.leave(self._key)
