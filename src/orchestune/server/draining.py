"""The end of a server's life, as everything that waits sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Draining:
    """Once begun, long polls and streams end at once and nothing new is awaited. Used on the event loop alone."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the server is about to end."""
        return self._event.is_set()

    def begin(self) -> None:
        """Let go of everybody who waits. Idempotent."""
        self._event.set()

    async def race(self, *waits: Awaitable[object]) -> None:
        """Return once the first of `waits` is done or the server drains, and cancel the others.

        Raises what one of them has raised.
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
