"""The server's current time: ages refer to its timestamps, and this machine's clock may be wrong."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

_TOLERANCE_SECONDS = 2.0
"""seconds of difference that are ignored: servers report whole seconds, and responses take a while"""
_ahead = 0.0
"""seconds by which the clock of the last responding server is ahead of this machine's"""


def update_offset(date: str | None) -> None:
    """Update the offset from the `Date` of a response; ignore an invalid one."""
    global _ahead
    try:
        server_time = parsedate_to_datetime(date or "").timestamp() + 0.5
    except (ValueError, TypeError, OverflowError):
        return
    ahead = server_time - time.time()
    _ahead = ahead if abs(ahead) > _TOLERANCE_SECONDS else 0.0


def now() -> float:
    """Return seconds since the epoch by the clock of the last responding server."""
    return time.time() + _ahead
