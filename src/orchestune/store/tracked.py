"""Rows of what is recorded in a tracking server: one for the experiment (trial 0), one for each trial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from sqlalchemy import func, insert, literal_column, select, update

from orchestune.store.session import Session
from orchestune.store.tables import attempts, experiments, points, tracking_runs

WHOLE = 0
"""in the place of a trial's number: the experiment itself"""


class Tracked(Struct, frozen=True, gc=False):
    """A run in a tracking server."""

    experiment: str
    trial: int
    run_id: str
    """its id; empty: it is about to be made, or was made and nobody heard of it"""
    event_seq: int
    """of the experiment: the last event that is recorded"""
    logged_at: float
    """of a trial: when the last value that is recorded was reported"""


class ReportedPoint(Struct, frozen=True, gc=False):
    """A value that an attempt of this fold reported."""

    fold: int
    attempt: str
    name: str
    sequence: int
    value: float
    step: float | None
    stddev: float | None
    at: float


class LastPoint(Struct, frozen=True, gc=False):
    """The value of a metric that was reported last in this fold, with the highest step of any."""

    fold: int
    name: str
    value: float
    step: float


def begin(session: Session, experiment: str, numbers: Iterable[int]) -> None:
    """Note that runs are about to be made."""
    rows = [{"experiment": experiment, "trial": number} for number in numbers]
    if rows:
        session.change(insert(tracking_runs).values(rows))


def behind(session: Session) -> list[str]:
    """Experiments of which there are events that are not recorded."""
    query = select(tracking_runs.c.experiment).join(experiments, experiments.c.id == tracking_runs.c.experiment)
    whole = tracking_runs.c.trial == literal_column(str(WHOLE))  # no parameter, of which no index is known to be right
    return session.select(query.where(whole, tracking_runs.c.event_seq < experiments.c.event_seq), str)


def of(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, Tracked]:
    """Those of these trials that there are."""
    query = select(tracking_runs).where(tracking_runs.c.experiment == experiment)
    return {row.trial: row for row in session.among(query, tracking_runs.c.trial, numbers, Tracked)}


def change(session: Session, experiment: str, trial: int, **values: object) -> None:
    """Note what is recorded."""
    where = (tracking_runs.c.experiment == experiment, tracking_runs.c.trial == trial)
    session.change(update(tracking_runs).where(*where).values(**values))


def points_since(session: Session, experiment: str, trial: int, since: float, limit: int) -> list[ReportedPoint]:
    """What a trial reported from a time on, in order, each with its fold; whole instants even beyond the limit, and not
    that time alone where there is more.
    """
    query = (
        select(attempts.c.fold, points)
        .join(attempts, attempts.c.id == points.c.attempt)
        .where(attempts.c.experiment == experiment, attempts.c.trial == trial, points.c.at >= since)
        .order_by(points.c.at, attempts.c.fold, points.c.sequence, points.c.name)
    )
    found = session.select(query.limit(limit), ReportedPoint)
    if len(found) < limit:
        return found
    last = found[-1].at
    whole = [row for row in found if row.at < last] + session.select(query.where(points.c.at == last), ReportedPoint)
    if last > since:
        return whole
    return [*whole, *points_since(session, experiment, trial, math.nextafter(last, math.inf), limit)]


def last_points(session: Session, experiment: str, trial: int, first: int) -> list[LastPoint]:
    """What a trial reported last of each metric in each fold. Where no step was named, that is the place of the value:
    `first` is the sequence from which on what comes by HTTP is counted.
    """
    of_name: Any = {"partition_by": (attempts.c.fold, points.c.name)}
    order = points.c.at.desc(), points.c.sequence.desc()
    step = func.max(func.coalesce(points.c.step, points.c.sequence % first)).over(**of_name)
    place = func.row_number().over(**of_name, order_by=order)
    found = (
        select(attempts.c.fold, points.c.name, points.c.value, step.label("step"), place.label("place"))
        .join(attempts, attempts.c.id == points.c.attempt)
        .where(attempts.c.experiment == experiment, attempts.c.trial == trial)
        .subquery()
    )
    columns = (found.c[name] for name in LastPoint.__struct_fields__)
    return session.select(select(*columns).where(found.c.place == 1), LastPoint)
