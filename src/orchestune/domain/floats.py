"""Numbers of every kind as floats."""

from __future__ import annotations

import math
from typing import Any


def as_float(value: Any) -> float:
    """What `float` makes of it; infinite where it is larger than any float. TypeError or ValueError for no number."""
    try:
        return float(value)
    except OverflowError:  # whole numbers have no largest one
        return math.inf if value > 0 else -math.inf
