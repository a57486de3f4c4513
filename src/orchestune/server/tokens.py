"""A short-lived cache of the callers that bearer tokens authenticate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from orchestune.services.core import Caller

_MAX_CALLERS = 4096
_MAX_AGE_SECONDS = 60.0


class KnownCallers:
    """Caches callers for a minute, so that all calls of a worker cost one lookup. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callers: OrderedDict[str, tuple[Caller, float]] = OrderedDict()
        """token → caller, and the time from which it is looked up again; the most recently checked one is last"""
        self._cleared = 0
        """number of revocations at the last one that may concern any token"""
        self._forgotten: dict[str, int] = {}
        """token → number of revocations when it was forgotten, for later ones than `_cleared`"""
        self.revocations = 0
        """number of revocations so far"""

    def get(self, token: str) -> Caller | None:
        """Return the caller of a token checked within the last minute; None if absent."""
        entry = self._callers.get(token)
        return entry[0] if entry is not None and self._clock() < entry[1] else None

    def was_known(self, token: str) -> bool:
        """Return True if the token was accepted at its last check."""
        return token in self._callers

    def remember(self, token: str, caller: Caller, revocations: int) -> None:
        """Cache the caller, unless a revocation since the check began may concern this token.

        `revocations` is the number of revocations then. Unknown tokens are never cached, so that guessing
        cannot fill the cache; beyond its size, the token that was checked least recently is dropped.
        """
        if revocations < max(self._cleared, self._forgotten.get(token, 0)):
            return
        self._callers[token] = (caller, self._clock() + _MAX_AGE_SECONDS)
        self._callers.move_to_end(token)
        if len(self._callers) > _MAX_CALLERS:
            self._callers.popitem(last=False)

    def clear(self) -> None:
        """Have all callers looked up again after a revocation.

        Until then it stays known which tokens were accepted: an editor, who may take back links of its own, must not
        turn the tokens of others into unknown ones.
        """
        self.revocations += 1
        self._cleared = self.revocations
        self._forgotten.clear()
        for token, (caller, _) in self._callers.items():
            self._callers[token] = (caller, float("-inf"))

    def reject(self, token: str) -> None:
        """Record that the token was not accepted at its last check."""
        self._callers.pop(token, None)

    def forget(self, token: str) -> None:
        """Remove a token that was revoked."""
        self.revocations += 1
        self._callers.pop(token, None)
        if len(self._forgotten) >= _MAX_CALLERS:
            self._cleared = self.revocations
            self._forgotten.clear()
        self._forgotten[token] = self.revocations
