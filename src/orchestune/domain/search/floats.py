"""Conversion of numbers of every type to floats."""

from __future__ import annotations

import math
from typing import Any


def as_float(value: Any) -> float:
    """Return `float(value)`, infinite if out of range. Raises TypeError or ValueError if `value` is not a number."""
    try:
        return float(value)
    except OverflowError:  # Python integers are unbounded
        return math.inf if value > 0 else -math.inf
