"""Statements about the time that attempts took, for estimates and timelines."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from orchestune.store.rows import Query


class AttemptSpan(Struct, frozen=True, gc=False):
    """Start and end of an attempt's lease, in seconds since 1970."""

    trial: int
    leased_at: float
    finished_at: float | None


SPANS_BETWEEN = Query(
    AttemptSpan,
    """
SELECT a.trial, a.leased_at, a.finished_at FROM trials r
JOIN attempts a ON a.experiment = r.experiment AND a.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto
""",
)


class RunColumns(Struct, frozen=True):
    """Start times and durations in seconds of attempts, by columns, for `Session.columns`."""

    trial: Sequence[int]
    started_at: Sequence[float]
    seconds: Sequence[float]


_RAN = """
a.trial, a.started_at, COALESCE(a.wall_seconds, a.finished_at - a.started_at, r.finished_at - a.started_at) AS seconds
FROM trials r CROSS JOIN attempts a WHERE r.experiment = :experiment AND a.experiment = r.experiment
AND a.trial = r.number AND r.finished_at IS NOT NULL AND a.started_at IS NOT NULL
"""
RAN_BETWEEN = Query(RunColumns, f"SELECT {_RAN} AND r.history_seq > :after AND r.history_seq <= :upto")
OPEN_RAN = Query(RunColumns, f"SELECT {_RAN} AND r.history_seq IS NULL")
OPEN_SPANS = Query(
    AttemptSpan,
    """
SELECT a.trial, a.leased_at, a.finished_at FROM trials r CROSS JOIN attempts a
WHERE r.experiment = :experiment AND r.history_seq IS NULL AND a.experiment = r.experiment AND a.trial = r.number
""",
)


class EndedSpan(Struct, frozen=True, gc=False):
    """Start and end of an ended attempt's lease, in seconds since 1970."""

    trial: int
    leased_at: float
    finished_at: float


LAST_SPANS = Query(
    EndedSpan,
    """
SELECT a.trial, a.leased_at, a.finished_at FROM trials r
JOIN attempts a ON a.experiment = r.experiment AND a.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.state IN ('completed', 'failed', 'pruned')
AND a.finished_at IS NOT NULL ORDER BY a.finished_at
""",
)


class RunSoFar(Struct, frozen=True, gc=False):
    """The attempts of running trials: the number of live ones, and the total duration of all in seconds."""

    live: int
    seconds: float


RUN_SO_FAR = Query(
    RunSoFar,
    """
SELECT COUNT(*) - COUNT(a.finished_at) AS live,
COALESCE(SUM(COALESCE(a.finished_at, :now) - a.leased_at), 0.0) AS seconds
FROM trials r CROSS JOIN attempts a
WHERE r.experiment = :experiment AND r.state = 'running' AND a.experiment = r.experiment AND a.trial = r.number
""",
)


class FailedTrial(Struct, frozen=True, gc=False):
    """A failed trial with its reason as JSON."""

    number: int
    reason: str | None


FAILED_BETWEEN = Query(
    FailedTrial,
    """
SELECT number, reason FROM trials
WHERE experiment = :experiment AND history_seq > :after AND history_seq <= :upto AND state = 'failed'
""",
)
