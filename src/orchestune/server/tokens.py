"""A short-lived cache of the callers that bearer tokens authenticate."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestune.services.core import Caller

_REMEMBERED = 4096
_SECONDS = 60.0


class KnownCallers:
    """Caches callers for a minute, so that a worker's calls cost one look-up. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callers: dict[str, tuple[Caller, float]] = {}
        self.taken = 0
        """number of revocations so far"""

    def get(self, token: str) -> Caller | None:
        """Return the caller of a token checked within the last minute; None if absent."""
        found = self._callers.get(token)
        return found[0] if found is not None and self._clock() < found[1] else None

    def was_known(self, token: str) -> bool:
        """Return True if the token was accepted some time ago and not revoked since."""
        return token in self._callers

    def remember(self, token: str, caller: Caller, taken: int) -> None:
        """Cache the caller, unless tokens were revoked since the check began.

        `taken` is the number of revocations then: a later one may concern this token. Unknown tokens are never cached,
        so that guessing cannot fill the cache.
        """
        if taken != self.taken:
            return
        if len(self._callers) >= _REMEMBERED:
            self._callers.clear()
        self._callers[token] = (caller, self._clock() + _SECONDS)

    def clear(self) -> None:
        """Clear the cache after a revocation: all callers are looked up again."""
        self.taken += 1
        self._callers.clear()

    def forget(self, token: str) -> None:
        """Remove a token that is no longer valid."""
        self.taken += 1
        self._callers.pop(token, None)
