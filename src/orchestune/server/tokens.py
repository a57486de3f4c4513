"""A short memory of whom each bearer token stands for."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestune.services.core import Caller

_REMEMBERED = 4096
_SECONDS = 60.0


class KnownCallers:
    """Remembers callers for a minute, so that a worker's calls cost one look-up. Used on the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callers: dict[str, tuple[Caller, float]] = {}
        self.taken = 0
        """how often something was taken back"""

    def get(self, token: str) -> Caller | None:
        """Whom the token stood for when it was checked within the last minute."""
        found = self._callers.get(token)
        return found[0] if found is not None and self._clock() < found[1] else None

    def remember(self, token: str, caller: Caller, taken: int) -> None:
        """Keep a token that was checked when so much had been taken back: what was since may have been this one.

        Unknown ones are never kept, so that guessing fills nothing.
        """
        if taken != self.taken:
            return
        if len(self._callers) >= _REMEMBERED:
            self._callers.clear()
        self._callers[token] = (caller, self._clock() + _SECONDS)

    def clear(self) -> None:
        """Something was taken back: everybody is looked up again."""
        self.taken += 1
        self._callers.clear()

    def forget(self, token: str) -> None:
        """It is no longer valid."""
        self.taken += 1
        self._callers.pop(token, None)
