"""Export and import of all rows of one experiment."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, Table, delete, select

from orchestune.domain.lifecycle.states import Visibility
from orchestune.errors import BadInput
from orchestune.store import postgres
from orchestune.store.blobs import named_by
from orchestune.store.session import Session, batches
from orchestune.store.tables import (
    artifacts,
    attempts,
    blobs,
    events,
    experiments,
    folds,
    log_segments,
    points,
    pruner_observations,
    revisions,
    trial_metrics,
    trials,
    usage,
    warm_starts,
    workers,
)

Row = dict[str, Any]

TABLES = {
    table.name: table
    for table in (
        experiments, revisions, warm_starts, workers, trials, trial_metrics, folds, attempts, points, usage,
        pruner_observations,
        artifacts, events, log_segments,
    )
}  # fmt: skip
"""tables of an archive by name, in the order in which they are written"""
_BATCH_ROWS = 500
OF_THIS_SERVER = frozenset(("principal", "secret_bytes"))
"""columns that archives exclude: one server alone authenticates a principal, and has the secrets"""
_TRIAL, _ATTEMPT = ("trial", "trials", "number"), ("attempt", "attempts", "id")
_PARENTS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "trial_metrics": [_TRIAL],
    "folds": [_TRIAL],
    "attempts": [_TRIAL],
    "points": [_ATTEMPT],
    "usage": [_ATTEMPT],
    "pruner_observations": [_TRIAL],
    "artifacts": [_TRIAL, _ATTEMPT],
    "log_segments": [_TRIAL, _ATTEMPT],
}
"""table → its references to rows of the same experiment: (column, referenced table, referenced column)"""


class Extent(Struct, frozen=True, gc=False):
    """An experiment and the sequence number of its last event, which grows with every change."""

    id: str
    event_seq: int


class StoredExperiment(Struct, frozen=True, gc=False):
    """The stored experiment with which an imported record is compared."""

    handle: str
    state: str
    event_seq: int
    visibility: str


class _Blob(Struct, frozen=True, gc=False):
    digest: str
    size: int


def rows(session: Session, experiment: str) -> Iterator[tuple[str, Row]]:
    """Yield every row with the name of its table; log segments are ordered by attempt and offset."""
    for name, table in TABLES.items():
        cursor = session.connection.execution_options(yield_per=_BATCH_ROWS).execute(_of(table, experiment))
        columns = list(cursor.keys())
        for row in cursor:
            values = dict(zip(columns, row, strict=True))
            yield name, {column: value for column, value in values.items() if column not in OF_THIS_SERVER}


def everything(session: Session) -> list[Extent]:
    """Return the extent of every experiment, except those that are being purged."""
    query = select(experiments.c.id, experiments.c.event_seq).where(experiments.c.visibility != Visibility.PURGING)
    return session.select(query.order_by(experiments.c.id), Extent)


def blobs_of(session: Session, experiment: str) -> dict[str, int]:
    """Return the sizes in bytes of the experiment's bundles, artifacts and checkpoints by digest."""
    named = named_by(session, experiment)
    rows = session.among(select(blobs.c.digest, blobs.c.size), blobs.c.digest, named, _Blob)
    return {row.digest: row.size for row in rows}


def handle_is_taken(session: Session, handle: str) -> bool:
    """Return True if an experiment has this handle."""
    return bool(session.select(select(experiments.c.id).where(experiments.c.handle == handle), str))


def present(session: Session, experiment: str) -> StoredExperiment | None:
    """Return the experiment with this id, None if absent."""
    query = select(*(experiments.c[name] for name in StoredExperiment.__struct_fields__))
    return session.first(query.where(experiments.c.id == experiment), StoredExperiment)


def add(session: Session, table: str, new_rows: Sequence[Row]) -> None:
    """Insert rows that have the same columns. Raises BadInput if a key exists, in this experiment or another."""
    names = list(new_rows[0]) if new_rows else []
    columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
    try:
        session.many(f"INSERT INTO {table} ({columns}) VALUES ({values})", new_rows)
    except (sqlite3.IntegrityError, postgres.error("IntegrityError")) as error:
        raise BadInput.one(f"the record has a row of {table} twice, or one of another experiment") from error


def workers_elsewhere(session: Session, experiment: str, new_rows: Sequence[Row]) -> Collection[str]:
    """Return the ids of the worker rows that belong to another experiment in this store."""
    query = select(workers.c.id).where(workers.c.experiment != experiment)
    return set(session.among(query, workers.c.id, [row["id"] for row in new_rows], str))


def dangling(session: Session, experiment: str, table: str, new_rows: Sequence[Row]) -> tuple[str, object] | None:
    """Return the first column and value that reference a row missing from this experiment, or None."""
    for column, parent, key in _PARENTS.get(table, ()):
        named = {row[column] for row in new_rows}
        own = TABLES[parent].c[key]
        query = select(own).where(TABLES[parent].c.experiment == experiment)
        present = set(session.among(query, own, named, object))
        if missing := named - present:
            return column, min(missing)
    return None


def as_here(session: Session, table: str, new_rows: Sequence[Row]) -> list[Row | None]:
    """Return, for each of these rows of one experiment, the stored row with the same primary key, None if absent."""
    keys = [column.name for column in TABLES[table].primary_key.columns]
    own, column = (keys[0], keys[1]) if len(keys) > 1 else (None, keys[0])
    query = select(TABLES[table])
    if own is not None and new_rows:
        query = query.where(TABLES[table].c[own] == new_rows[0][own])
    stored: dict[tuple[object, ...], Row] = {}
    for batch in batches({row[column] for row in new_rows}):
        selected = session.connection.execute(query.where(TABLES[table].c[column].in_(batch)))
        stored |= {tuple(row[key] for key in keys): dict(row) for row in selected.mappings()}
    return [stored.get(tuple(row[key] for key in keys)) for row in new_rows]


def put(session: Session, table: str, new_rows: Sequence[Row]) -> None:
    """Insert rows like `add`, replacing stored rows of this experiment with the same primary keys."""
    keys = [column.name for column in TABLES[table].primary_key.columns]
    if "experiment" in TABLES[table].c and "experiment" not in keys:  # never delete a row of another experiment
        keys.append("experiment")
    where = " AND ".join(f'"{key}" = :{key}' for key in keys)
    session.many(f"DELETE FROM {table} WHERE {where}", [{key: row[key] for key in keys} for row in new_rows])
    add(session, table, new_rows)


def cut(session: Session, experiment: str, last: int) -> None:
    """Delete the events with a number above `last`."""
    session.change(delete(events).where(events.c.experiment == experiment, events.c.seq > last))


def _of(table: Table, experiment: str) -> Select[tuple[object, ...]]:
    query = select(table)
    if table is experiments:
        return query.where(experiments.c.id == experiment)
    if table is points:
        own = select(attempts.c.id).where(attempts.c.experiment == experiment)
        return query.where(points.c.attempt.in_(own))
    query = query.where(table.c.experiment == experiment)
    return query.order_by(log_segments.c.attempt, log_segments.c.offset) if table is log_segments else query
