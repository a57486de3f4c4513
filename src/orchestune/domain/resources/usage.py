"""Resource usage of attempts over time, downsampled to a bounded number of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Sample = Sequence[Any]
"""number, seconds since the attempt's start, cores, bytes of memory, GPU utilization (0 to 1) and bytes of GPU memory;
the last two are None if unknown"""

MOST, AT_THE_END = 480, 120
"""maximum samples of a running and of an ended attempt"""
NEWEST = 30
"""most recent samples, which are never downsampled"""


def with_more(kept: Sequence[Sample], new: Sequence[Sample], most: int = MOST) -> list[Sample]:
    """Return `kept` and the `new` samples with higher numbers; if too many, only every k-th of the older ones."""
    last = kept[-1][0] if kept else -1
    found = [*kept, *(sample for sample in new if sample[0] > last)]
    if len(found) <= NEWEST:
        return found
    stride = 1 << max(0, math.ceil(math.log2((found[-1][0] + 1) / most)))
    return [sample for sample in found[:-NEWEST] if sample[0] % stride == 0] + found[-NEWEST:]
