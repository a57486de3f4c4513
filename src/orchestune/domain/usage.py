"""What attempts used over time, as it is kept: few samples, whatever they last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Sample = Sequence[Any]
"""number, seconds since the attempt's start, cores, bytes, share of its GPUs' time (0 to 1) and bytes on them; the last
two are None where they are not known"""

MOST, AT_THE_END = 480, 120
"""samples that are kept while an attempt runs, and of one that has ended"""
NEWEST = 30
"""that are kept one by one, behind the others"""


def with_more(kept: Sequence[Sample], new: Sequence[Sample], most: int = MOST) -> list[Sample]:
    """Those that are kept, with those of higher numbers; where there are too many, every k-th of the older ones."""
    last = kept[-1][0] if kept else -1
    found = [*kept, *(sample for sample in new if sample[0] > last)]
    if len(found) <= NEWEST:
        return found
    stride = 1 << max(0, math.ceil(math.log2((found[-1][0] + 1) / most)))
    return [sample for sample in found[:-NEWEST] if sample[0] % stride == 0] + found[-NEWEST:]
