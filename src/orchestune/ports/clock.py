"""Time and randomness, so that tests own them; and how a time is written."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Protocol, overload

from orchestune.domain.ids import uuid7


class Clock(Protocol):
    """Where the core takes time and entropy from."""

    def now(self) -> float:
        """Wall time: seconds since 1970 in UTC. May jump; never used to decide that a lease has expired."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; comparable within this process only."""

    def entropy(self, count: int) -> bytes:
        """Random bytes for identities and tokens."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def entropy(self, count: int) -> bytes:
        return os.urandom(count)


def new_id(clock: Clock) -> str:
    """A fresh UUIDv7."""
    return uuid7(int(clock.now() * 1000), clock.entropy(10))


@overload
def rfc3339(seconds: float) -> str: ...
@overload
def rfc3339(seconds: None) -> None: ...
def rfc3339(seconds: float | None) -> str | None:
    """A time as the API and the log write it: UTC, milliseconds, `Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
