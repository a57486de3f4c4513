"""Prefetch size for engines without memory: their suggestions do not become stale."""

from __future__ import annotations

from orchestune.store.experiments import ExperimentRow

_PER_PLACE = 4
_MIN_PREFETCH, _MAX_PREFETCH = 16, 256
"""prefetched suggestions per unit of parallelism, and the bounds of their sum"""
_MAX_QUEUED_BYTES = 32 * 2**20
"""configurations of queued trials, all of which are parsed for each suggestion"""
_MAX_PREFETCHED_FOLDS = 20_000
MAX_QUEUED_FOLDS = 100_000
"""folds that wait, each a row: configurations that users chose are queued whatever the parallelism"""


def trials_for(row: ExperimentRow, places: int) -> int:
    """Return the number of trials whose folds fill `places` parallel attempts."""
    return -(-places // row.specification.folds.count)


def missing(row: ExperimentRow) -> int:
    """Return the number of suggestions to make; 0 until half of the prefetched ones are used."""
    most_ahead = min(_MAX_PREFETCH, max(1, _MAX_PREFETCHED_FOLDS // row.specification.folds.count))
    ahead = min(max(trials_for(row, row.parallelism) * _PER_PLACE, _MIN_PREFETCH), most_ahead)
    free = trials_for(row, max(row.parallelism - row.live_attempts - row.unqueued, 0))
    most, enough = free + ahead, free + ahead // 2
    if most > most_queued(row):
        most, enough = most_queued(row), most_queued(row) // 2
    return most - row.queued if row.queued <= enough else 0


def most_queued(row: ExperimentRow) -> int:
    """Return the maximum of queued trials that the server suggests: large configurations would fill its memory."""
    return max(_MIN_PREFETCH, _MAX_QUEUED_BYTES // max(1, row.specification.space.configuration_bytes))


def has_room(row: ExperimentRow) -> bool:
    """Return True if one more trial that a user chose may wait."""
    return row.pending_folds + row.specification.folds.count <= max(MAX_QUEUED_FOLDS, row.specification.folds.count)
