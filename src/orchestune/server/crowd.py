"""A limit on what one caller keeps open at once: streams, long polls, and requests that wait for a thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from orchestune.errors import Throttled
from orchestune.services.core import Caller

# A page or command line has one to three; measured with 400 streams of one viewer, a change of their experiment took
# the event loop 0.9 s.
MOST_AT_ONCE = 200
MOST_OF_SHARED = 500  # of a token that stands for the role of several people


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
    """Return what one caller's requests have in common; empty for owners of the server, who are not limited."""
    if caller.role == "owner":
        return ""
    return caller.source or f"{caller.role} {caller.name} {caller.experiment} {caller.worker}"


def most_of(caller: Caller) -> int:
    """Return how many requests of this caller may be in progress."""
    return MOST_OF_SHARED if caller.shared else MOST_AT_ONCE
