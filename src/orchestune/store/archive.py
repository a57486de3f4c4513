"""All rows of one experiment, out of a store and into another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row as ResultRow
from sqlalchemy import Select, Table, delete, select

from orchestune.store.blobs import named_by
from orchestune.store.session import Session
from orchestune.store.tables import (
    artifacts,
    attempts,
    blobs,
    events,
    experiments,
    log_segments,
    marks,
    points,
    revisions,
    tasks,
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
        experiments, revisions, warm_starts, workers, trials, trial_metrics, tasks, attempts, points, usage, marks,
        artifacts, events, log_segments,
    )
}  # fmt: skip
"""in the order in which they are written"""
_AT_ONCE = 500
_OF_THIS_SERVER = frozenset(("principal",))
"""columns that an archive neither has nor sets: what the tokens of one server prove says nothing to another one"""


def rows(session: Session, experiment: str) -> Iterator[tuple[str, Row]]:
    """Every row with its table's name; logs lie attempt by attempt."""
    for name, table in TABLES.items():
        found = session.connection.execution_options(yield_per=_AT_ONCE).execute(_of(table, experiment))
        columns = list(found.keys())
        for row in found:
            values = dict(zip(columns, row, strict=True))
            yield name, {column: value for column, value in values.items() if column not in _OF_THIS_SERVER}


def everything(session: Session) -> list[tuple[str, int]]:
    """The id of every experiment, and the number of its last event; what is about to be removed is left out."""
    query = select(experiments.c.id, experiments.c.event_seq).where(experiments.c.hidden < 2)
    return [(row.id, row.event_seq) for row in session.select(query.order_by(experiments.c.id))]


def blobs_of(session: Session, experiment: str) -> dict[str, int]:
    """Digest → bytes of its bundles, artifacts and checkpoints."""
    found = session.among(select(blobs.c.digest, blobs.c.size), blobs.c.digest, named_by(session, experiment))
    return {row.digest: row.size for row in found}


def handle_is_taken(session: Session, handle: str) -> bool:
    """Whether an experiment has this handle."""
    return bool(session.select(select(experiments.c.id).where(experiments.c.handle == handle)))


def present(session: Session, experiment: str) -> ResultRow[Any] | None:
    """(handle, state, event_seq, hidden) of the experiment with this id, if it is there."""
    query = select(*(experiments.c[name] for name in ("handle", "state", "event_seq", "hidden")))
    return session.first(query.where(experiments.c.id == experiment))


def add(session: Session, table: str, found: Sequence[Row]) -> None:
    """Insert rows; columns that this version does not know are left out."""
    names = [name for name in found[0] if name in TABLES[table].c and name not in _OF_THIS_SERVER] if found else []
    columns, values = ", ".join(f'"{name}"' for name in names), ", ".join(f":{name}" for name in names)
    rows = [{name: row[name] for name in names} for row in found]
    session.many(f"INSERT INTO {table} ({columns}) VALUES ({values})", rows)


def as_here(session: Session, table: str, found: Sequence[Row]) -> list[Row | None]:
    """What is here of each of these rows of one experiment: the row with its key."""
    keys = [column.name for column in TABLES[table].primary_key.columns]
    own, column = (keys[0], keys[1]) if len(keys) > 1 else (None, keys[0])
    query = select(TABLES[table])
    if own is not None and found:
        query = query.where(TABLES[table].c[own] == found[0][own])
    here = session.among(query, TABLES[table].c[column], {row[column] for row in found})
    known = {tuple(row._mapping[key] for key in keys): dict(row._mapping) for row in here}
    return [known.get(tuple(row[key] for key in keys)) for row in found]


def put(session: Session, table: str, found: Sequence[Row]) -> None:
    """`add`, in the place of those that have their keys."""
    keys = [column.name for column in TABLES[table].primary_key.columns]
    where = " AND ".join(f'"{key}" = :{key}' for key in keys)
    session.many(f"DELETE FROM {table} WHERE {where}", [{key: row[key] for key in keys} for row in found])
    add(session, table, found)


def cut(session: Session, experiment: str, last: int) -> None:
    """Forget the events behind the last one."""
    session.change(delete(events).where(events.c.experiment == experiment, events.c.seq > last))


def _of(table: Table, experiment: str) -> Select[Any]:
    query = select(table)
    if table is experiments:
        return query.where(experiments.c.id == experiment)
    if table is points:
        own = select(attempts.c.id).where(attempts.c.experiment == experiment)
        return query.where(points.c.attempt.in_(own))
    query = query.where(table.c.experiment == experiment)
    return query.order_by(log_segments.c.attempt, log_segments.c.offset) if table is log_segments else query
