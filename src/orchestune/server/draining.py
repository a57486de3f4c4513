"""The signal that a server is shutting down, for long polls and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class DrainSignal:
    """State of the shutdown: once begun, long polls and streams end at once. Used on the event loop only."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def begun(self) -> bool:
        """True if the server is shutting down."""
        return self._event.is_set()

    def begin(self) -> None:
        """Wake all waiting long polls and streams. Idempotent."""
        self._event.set()

    async def race(self, *waits: Awaitable[object]) -> None:
        """Wait until the first of `waits` is done or the server drains, and cancel the others.

        Raises the exception of one of them, if any.
        """
        tasks = [asyncio.ensure_future(wait) for wait in (self._event.wait(), *waits)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
