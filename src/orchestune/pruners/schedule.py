"""The steps at which a rule evaluates a trial."""

from __future__ import annotations

import math


def every(first: float, interval: float, step: float) -> float | None:
    """Return the last of `first`, `first + interval`, … that is not after `step`; None before the first one."""
    if step < first:
        return None
    count = math.floor((step - first) / interval)
    if first + (count + 1) * interval <= step:  # the division may be off by a rounding error
        count += 1
    return first + count * interval
