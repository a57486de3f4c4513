"""Statements about finished trials in the order of their results, for engines, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from orchestune.store.rows import Query


class FinishedTrial(Struct, frozen=True, gc=False):
    """A finished trial with its place in the history. `parameters`: JSON."""

    number: int
    parameters: str
    state: str
    history_seq: int


HISTORY = Query(
    FinishedTrial,
    """
SELECT number, parameters, state, history_seq FROM trials WHERE experiment = :experiment AND history_seq > :after
AND history_seq % :every = 0 ORDER BY history_seq LIMIT :limit
""",
)


class MetricOfTrial(Struct, frozen=True, gc=False):
    """The final value of a metric of a trial."""

    trial: int
    name: str
    value: float
    stddev: float | None


HISTORY_METRICS = Query(
    MetricOfTrial,
    """
SELECT m.trial, m.name, m.value, m.stddev FROM trial_metrics m JOIN trials r
ON r.experiment = m.experiment AND r.number = m.trial
WHERE m.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto AND m.is_declared
AND r.history_seq % :every = 0
""",
)


class UnfinishedTrial(Struct, frozen=True, gc=False):
    """A trial that is queued or running. `parameters`: JSON."""

    number: int
    parameters: str


UNFINISHED = Query(
    UnfinishedTrial,
    """
SELECT number, parameters FROM trials WHERE experiment = :experiment AND state IN ('queued', 'running') ORDER BY +number
""",
)


class ColumnRows(Struct, frozen=True):
    """Trials by columns, for `Session.columns`. `parameters`: JSON."""

    number: Sequence[int]
    state: Sequence[str]
    parameters: Sequence[str]
    created_at: Sequence[float]
    started_at: Sequence[float | None]
    finished_at: Sequence[float | None]


class FinishedColumns(ColumnRows, frozen=True):
    """Finished trials by columns, with their places in the history."""

    history_seq: Sequence[int]


_COLUMNS = "number, state, parameters, created_at, started_at, finished_at"
FINISHED_COLUMNS = Query(
    FinishedColumns,
    f"""
SELECT {_COLUMNS}, history_seq FROM trials WHERE experiment = :experiment AND history_seq > :after
ORDER BY history_seq LIMIT :limit
""",
)
OPEN_COLUMNS = Query(
    ColumnRows,
    f"""
SELECT {_COLUMNS} FROM trials WHERE experiment = :experiment AND history_seq IS NULL ORDER BY +number
""",
)


class ValueColumns(Struct, frozen=True):
    """Values of metrics by columns, for `Session.columns`."""

    trial: Sequence[int]
    name: Sequence[str]
    value: Sequence[float]


VALUE_COLUMNS = Query(
    ValueColumns,
    """
SELECT m.trial, m.name, m.value FROM trials r JOIN trial_metrics m ON m.experiment = r.experiment AND m.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto
""",
)
COUNT_VALUES = Query(
    int,
    """
SELECT COUNT(*) AS count FROM trials r JOIN trial_metrics m ON m.experiment = r.experiment AND m.trial = r.number
WHERE r.experiment = :experiment AND r.history_seq > :after AND r.history_seq <= :upto
""",
)
