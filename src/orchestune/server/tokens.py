"""A short-lived cache of the callers that bearer tokens authenticate."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestune.services.core import Caller

_MAX_CALLERS = 4096
_MAX_AGE_SECONDS = 60.0


class KnownCallers:
    """Caches callers for a minute, so that all calls of a worker cost one lookup. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callers: dict[str, tuple[Caller, float]] = {}
        self.revocations = 0
        """number of revocations so far"""

    def get(self, token: str) -> Caller | None:
        """Return the caller of a token checked within the last minute; None if absent."""
        entry = self._callers.get(token)
        return entry[0] if entry is not None and self._clock() < entry[1] else None

    def was_known(self, token: str) -> bool:
        """Return True if the token was accepted some time ago and not revoked since."""
        return token in self._callers

    def remember(self, token: str, caller: Caller, revocations: int) -> None:
        """Cache the caller, unless tokens were revoked since the check began.

        `revocations` is the number of revocations then: a later one may concern this token. Unknown tokens are never
        cached, so that guessing cannot fill the cache.
        """
        if revocations != self.revocations:
            return
        if len(self._callers) >= _MAX_CALLERS:
            self._callers.clear()
        self._callers[token] = (caller, self._clock() + _MAX_AGE_SECONDS)

    def clear(self) -> None:
        """Clear the cache after a revocation: all callers are looked up again."""
        self.revocations += 1
        self._callers.clear()

    def forget(self, token: str) -> None:
        """Remove a token that is no longer valid."""
        self.revocations += 1
        self._callers.pop(token, None)
