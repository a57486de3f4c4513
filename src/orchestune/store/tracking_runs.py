"""Rows of runs in a tracking server: one for the experiment (trial 0) and one for each trial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from sqlalchemy import func, insert, literal_column, select, update

from orchestune.store.session import Session
from orchestune.store.tables import attempts, experiments, points, tracking_runs

WHOLE = 0
"""trial number of the experiment's own run"""


class TrackedRow(Struct, frozen=True, gc=False):
    """A run in a tracking server."""

    experiment: str
    trial: int
    run_id: str
    """id of the run; empty if it is about to be created, or was created and the response was lost"""
    event_seq: int
    """of the experiment's run: the last event that was logged"""
    logged_at: float
    """of a trial's run: the time at which the last logged value was reported"""


class ReportedPoint(Struct, frozen=True, gc=False):
    """A value that an attempt of a trial reported."""

    fold: int
    attempt: str
    name: str
    sequence: int
    value: float
    step: float | None
    stddev: float | None
    at: float


class LastPoint(Struct, frozen=True, gc=False):
    """The last reported value of a metric in a fold, with the highest step of all its values."""

    fold: int
    name: str
    value: float
    step: float


def begin(session: Session, experiment: str, numbers: Iterable[int]) -> None:
    """Insert rows for runs that are about to be created."""
    rows = [{"experiment": experiment, "trial": number} for number in numbers]
    if rows:
        session.change(insert(tracking_runs).values(rows))


def behind(session: Session) -> list[str]:
    """Return the experiments that have events which are not logged yet."""
    query = select(tracking_runs.c.experiment).join(experiments, experiments.c.id == tracking_runs.c.experiment)
    whole = tracking_runs.c.trial == literal_column(str(WHOLE))  # with a parameter, the partial index is not used
    return session.select(query.where(whole, tracking_runs.c.event_seq < experiments.c.event_seq), str)


def of(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, TrackedRow]:
    """Return the stored runs of these trials by trial number."""
    query = select(tracking_runs).where(tracking_runs.c.experiment == experiment)
    return {row.trial: row for row in session.among(query, tracking_runs.c.trial, numbers, TrackedRow)}


def change(session: Session, experiment: str, trial: int, **values: object) -> None:
    """Update the columns of a run."""
    where = (tracking_runs.c.experiment == experiment, tracking_runs.c.trial == trial)
    session.change(update(tracking_runs).where(*where).values(**values))


def points_since(session: Session, experiment: str, trial: int, since: float, limit: int) -> list[ReportedPoint]:
    """Return the points that a trial reported at or after `since`, ordered by time.

    Points with equal times are never split, even beyond `limit`, and the result extends past `since` if later points
    exist, so that a caller that continues at the last time makes progress.
    """
    query = (
        select(attempts.c.fold, points)
        .join(attempts, attempts.c.id == points.c.attempt)
        .where(attempts.c.experiment == experiment, attempts.c.trial == trial, points.c.at >= since)
        .order_by(points.c.at, attempts.c.fold, points.c.sequence, points.c.name)
    )
    page = session.select(query.limit(limit), ReportedPoint)
    if len(page) < limit:
        return page
    last = page[-1].at
    whole = [row for row in page if row.at < last] + session.select(query.where(points.c.at == last), ReportedPoint)
    if last > since:
        return whole
    return [*whole, *points_since(session, experiment, trial, math.nextafter(last, math.inf), limit)]


def last_points(session: Session, experiment: str, trial: int, first: int) -> list[LastPoint]:
    """Return the last reported point of each metric in each fold of a trial.

    Without a step, the sequence number is the step, counted modulo `first`, at which sequence numbers of points
    reported over HTTP start.
    """
    of_name: Any = {"partition_by": (attempts.c.fold, points.c.name)}
    order = points.c.at.desc(), points.c.sequence.desc()
    step = func.max(func.coalesce(points.c.step, points.c.sequence % first)).over(**of_name)
    place = func.row_number().over(**of_name, order_by=order)
    ranked = (
        select(attempts.c.fold, points.c.name, points.c.value, step.label("step"), place.label("place"))
        .join(attempts, attempts.c.id == points.c.attempt)
        .where(attempts.c.experiment == experiment, attempts.c.trial == trial)
        .subquery()
    )
    columns = (ranked.c[name] for name in LastPoint.__struct_fields__)
    return session.select(select(*columns).where(ranked.c.place == 1), LastPoint)
