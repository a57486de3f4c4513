"""Resource usage of attempts over time, downsampled to a bounded number of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Sample = Sequence[Any]
"""number, seconds since the attempt's start, cores, bytes of memory, GPU utilization (0 to 1) and bytes of GPU memory;
the last two are None if unknown"""

MAX_RUNNING_SAMPLES, MAX_ENDED_SAMPLES = 480, 120
"""maximum samples of a running and of an ended attempt"""
NEWEST = 30
"""most recent samples, which are never downsampled"""


def with_more(stored: Sequence[Sample], new: Sequence[Sample], max_samples: int = MAX_RUNNING_SAMPLES) -> list[Sample]:
    """Return `stored` and the `new` samples with higher numbers; if too many, only every k-th of the older ones.

    Numbers that do not ascend within `new` are skipped too: the numbers bound how many samples are kept.
    """
    samples = [*stored]
    for sample in new:
        if not samples or sample[0] > samples[-1][0]:
            samples.append(sample)
    if len(samples) <= NEWEST:
        return samples
    stride = 1 << max(0, math.ceil(math.log2((samples[-1][0] + 1) / max_samples)))
    return [sample for sample in samples[:-NEWEST] if sample[0] % stride == 0] + samples[-NEWEST:]
