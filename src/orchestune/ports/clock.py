"""Time and randomness behind an interface that tests replace, and the format of times."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Protocol, overload

from orchestune.domain.lifecycle.ids import uuid7


class Clock(Protocol):
    """The source of time and entropy for the core."""

    def now(self) -> float:
        """Return the wall time in seconds since 1970, UTC. May jump, so leases do not expire by it."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps; comparable within this process only."""

    def entropy(self, count: int) -> bytes:
        """Return random bytes for ids and tokens."""


class SystemClock:
    """The clocks of the operating system."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def entropy(self, count: int) -> bytes:
        return os.urandom(count)


def new_id(clock: Clock) -> str:
    """Return a new UUIDv7."""
    return uuid7(int(clock.now() * 1000), clock.entropy(10))


@overload
def rfc3339(seconds: float) -> str: ...
@overload
def rfc3339(seconds: None) -> None: ...
def rfc3339(seconds: float | None) -> str | None:
    """Format a time as in the API and the log: RFC 3339 in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
