"""What time it is where the server is: ages are counted from its times, and this machine's clock may be wrong."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

_AGREE = 2.0
"""seconds by which clocks may differ and still count as one: servers tell whole seconds, and answers take a while"""
_ahead = 0.0
"""of this machine's clock, that of the server which answered last"""


def heard(date: str | None) -> None:
    """A server has just answered with this `Date`; what is none says nothing."""
    global _ahead
    try:
        there = parsedate_to_datetime(date or "").timestamp() + 0.5
    except (ValueError, TypeError, OverflowError):
        return
    ahead = there - time.time()
    _ahead = ahead if abs(ahead) > _AGREE else 0.0


def now() -> float:
    """Seconds since the epoch, by the clock of the server that answered last."""
    return time.time() + _ahead
