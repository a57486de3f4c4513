"""Limits on one caller: what it keeps open at once, and how often it does what the audit log notes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from orchestune.errors import Throttled
from orchestune.server.failures import Buckets
from orchestune.services.core import Caller

# A page or command line has one to three; measured with 400 streams of one viewer, a change of their experiment took
# the event loop 0.9 s.
MOST_AT_ONCE = 200
MOST_OF_SHARED = 500  # of a token that stands for the role of several people


NOTED_PER_MINUTE = 300
"""Actions of one caller that the audit log notes each time. The log keeps 100,000 rows: without a limit a viewer could
push all others out of it within minutes."""
_NOTED = re.compile(r"POST /api/v1/sign-in|GET /api/v1/experiments/[^/]+/archive|DELETE /api/v1/experiments/.*")


class Noted:
    """Limits how often one caller repeats an action that the audit log notes. Used on the event loop alone."""

    def __init__(self) -> None:
        self._buckets = Buckets(NOTED_PER_MINUTE)

    def count(self, key: str, method: str, path: str) -> None:
        """Count a request if it will be noted. Throttled if the caller has sent too many within a minute."""
        if not _NOTED.fullmatch(f"{method} {path}"):
            return
        if wait := self._buckets.take(key):
            text = f"this caller signs in, exports or deletes too often (at most {NOTED_PER_MINUTE} times a minute)"
            raise Throttled(text, "retry in a second", math.ceil(wait))


class Crowd:
    """Counts requests in progress by caller. Used on the event loop alone."""

    def __init__(self) -> None:
        self._present: Counter[str] = Counter()

    @contextmanager
    def one_of(self, key: str, most: int) -> Iterator[None]:
        """Count a request of this caller until it is over. Throttled if the caller has `most` already."""
        if self._present[key] >= most:
            text = f"this caller has {most} requests in progress, which is the most at once"
            raise Throttled(text, "close streams that are not needed, and retry", 1)
        self._present[key] += 1
        try:
            yield
        finally:
            self._present[key] -= 1
            if not self._present[key]:
                del self._present[key]


def key_of(caller: Caller) -> str:
    """Return what one caller's requests have in common; empty for owners of the server, who are not limited.

    Callers who share a role count together: the names that they send, and the tokens that they request, cost nothing.
    """
    if caller.role == "owner":
        return ""
    if caller.shared:
        return f"every {caller.role}"
    return caller.source or f"{caller.role} {caller.name} {caller.experiment} {caller.worker}"


def most_of(caller: Caller) -> int:
    """Return how many requests of this caller may be in progress."""
    return MOST_OF_SHARED if caller.shared else MOST_AT_ONCE
