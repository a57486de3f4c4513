"""How many suggestions an engine without memory makes ahead: they do not get old."""

from __future__ import annotations

from orchestune.store.experiments import ExperimentRow

_PER_PLACE = 4
_LEAST, _MOST = 16, 256
"""suggestions per place, and the bounds of their sum"""


def trials_for(row: ExperimentRow, places: int) -> int:
    """How many trials have enough folds for so many places."""
    return -(-places // row.specification.folds.count)


def missing(row: ExperimentRow) -> int:
    """How many suggestions to make; none before half of those made ahead are used up."""
    ahead = min(max(trials_for(row, row.parallelism) * _PER_PLACE, _LEAST), _MOST)
    free = trials_for(row, max(row.parallelism - row.live_attempts - row.unqueued, 0))
    return free + ahead - row.queued if row.queued <= free + ahead // 2 else 0
