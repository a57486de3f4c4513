"""Pareto dominance of results with several losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

_ROWS = 500
"""rows compared with all others at once: a matrix of all pairs may not fit into memory"""


def dominator_counts(losses: NDArray[np.float64]) -> Counts:
    """Return how many others dominate each row: at least as good in every column, and better in one."""
    counts = np.zeros(len(losses), dtype=np.int64)
    for start in range(0, len(losses), _ROWS):
        rows = slice(start, start + _ROWS)
        shape = len(losses[rows]), len(losses)
        as_good, better = np.ones(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        for column in losses.T:
            as_good &= column <= column[rows, None]
            better |= column < column[rows, None]
        counts[rows] = (as_good & better).sum(axis=1)
    return counts
