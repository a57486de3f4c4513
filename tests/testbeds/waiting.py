"""Waiting for a condition of the outside world: asked again and again until a long deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 120.0
PAUSES = 0.02, 0.25
"""seconds, the first and the longest: most looks start a program, and what they wait for needs the processors too"""

Answer = TypeVar("Answer")


class GaveUp(AssertionError):
    """A condition did not become true in time; the message has the condition and the last observation."""


def until(
    what: str, look: Callable[[], Answer | None], seconds: float = SECONDS, describe: Callable[[], object] | None = None
) -> Answer:
    """Return the first true answer of `look`.

    Raises GaveUp after `seconds`, with what `describe` returns then (a log, a status).
    """
    deadline, pause = time.monotonic() + seconds, PAUSES[0]
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise GaveUp(f"waited {seconds:.0f} s for {what}; last seen: {describe() if describe else answer!r}")
        time.sleep(pause)
        pause = min(2 * pause, PAUSES[1])
    return answer
