"""Rows of attempts, and of what they reported and used: the cold queries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, and_, select

from orchestune.store import hot
from orchestune.store.session import Session
from orchestune.store.tables import attempts, trials, usage, workers


def find(session: Session, attempt: str) -> Row[Any] | None:
    """One attempt by id."""
    return session.first(select(attempts).where(attempts.c.id == attempt))


def of_trials(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, list[Row[Any]]]:
    """number → attempts in the order of their leases, each with its worker's name."""
    query = (
        select(attempts, workers.c.name.label("worker_name"))
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(attempts.c.experiment == experiment)
        .order_by(attempts.c.trial, attempts.c.fold, attempts.c.token)
    )
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in session.among(query, attempts.c.trial, numbers):
        found[row.trial].append(row)
    return found


def live(session: Session, experiment: str, limit: int = 100) -> Sequence[Row[Any]]:
    """Attempts that hold a lease, with their worker's name and their trial's parameters."""
    by_trial = attempts.c.trial + 0  # a sum has no index: to be found by their state is what takes one
    query = (
        select(attempts, workers.c.name.label("worker_name"), trials.c.parameters)
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .join(trials, and_(trials.c.experiment == attempts.c.experiment, trials.c.number == attempts.c.trial))
        .where(attempts.c.experiment == experiment, attempts.c.state.in_(("leased", "running")))
        .order_by(by_trial, attempts.c.fold)
        .limit(limit)
    )
    return session.select(query)


def newest(session: Session, experiment: str, limit: int) -> Sequence[Row[Any]]:
    """When and where the attempts of the newest trials ran, the newest first. Reads no others."""
    query = (
        select(
            attempts.c.trial,
            attempts.c.fold,
            attempts.c.token,
            attempts.c.state,
            attempts.c.leased_at,
            attempts.c.finished_at,
            attempts.c.node,
            workers.c.name.label("worker_name"),
        )
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(attempts.c.experiment == experiment)
        .order_by(attempts.c.trial.desc(), attempts.c.fold.desc(), attempts.c.token.desc())
        .limit(limit)
    )
    return sorted(session.select(query), key=lambda attempt: -attempt.leased_at)


def latest_points(session: Session, attempts_: Sequence[str], name: str) -> dict[str, tuple[float | None, float]]:
    """The newest (step, value) that each of these attempts reported of a metric.

    Asked one by one, which finds it at the end of its index: there may be millions before it.
    """
    found: dict[str, tuple[float | None, float]] = {}
    for attempt in attempts_:
        where = {"attempt": attempt, "name": name, "upto": math.inf, "count": 1}
        for point in session.rows(hot.LAST_POINTS, where):
            found[attempt] = point.step, point.value
    return found


def with_points(session: Session, experiment: str, limit: int) -> list[int]:
    """The newest trials that reported values while they ran."""
    query = (
        select(attempts.c.trial)
        .where(attempts.c.experiment == experiment, attempts.c.points > 1)
        .group_by(attempts.c.trial)
        .order_by(attempts.c.trial.desc())
        .limit(limit)
    )
    return [row[0] for row in session.select(query)]


LEAST_POINTS = 100
"""values of a curve that are worth drawing, however many curves there are"""
_COUNTED = "SELECT name, COUNT(*) FROM points WHERE attempt = :attempt GROUP BY name ORDER BY name"
_COUNTED_ALONE = "SELECT name, COUNT(*) FROM points WHERE attempt = :attempt AND name = :name GROUP BY name"
_THINNED = """
SELECT COALESCE(p.step, k.place), p.value
FROM (SELECT sequence, ROW_NUMBER() OVER (ORDER BY sequence) - 1 AS place FROM points
WHERE attempt = :attempt AND name = :name) k
JOIN points p ON p.attempt = :attempt AND p.name = :name AND p.sequence = k.sequence
WHERE k.place % :every = 0 OR k.place = :last ORDER BY k.place
"""


def points_of(
    session: Session,
    experiment: str,
    numbers: Sequence[int],
    most: int,
    name: str | None = None,
    in_all: float = math.inf,
) -> list[tuple[Any, ...]]:
    """What attempts of these trials reported while they ran, by trial, fold, attempt and time: at most about `most`
    values of each name, every k-th and the last; fewer where there are so many names that `in_all` is exceeded, but
    never fewer than `LEAST_POINTS`. With how many there are. The step is counted where none was said.

    Curve by curve, which its index has in order: to sort a million values takes seconds.
    """
    query = select(attempts.c.trial, attempts.c.fold, attempts.c.token, attempts.c.id)
    query = query.where(attempts.c.experiment == experiment)
    query = query.order_by(attempts.c.trial, attempts.c.fold, attempts.c.token)
    counted, found = _COUNTED if name is None else _COUNTED_ALONE, list[tuple[Any, ...]]()
    curves = [
        (row, reported, count)
        for row in session.among(query, attempts.c.trial, sorted(numbers))
        for reported, count in session.rows(counted, {"attempt": row.id, "name": name})
    ]
    each = min(most, max(in_all / max(len(curves), 1), LEAST_POINTS))
    for row, reported, count in curves:
        where = {"attempt": row.id, "name": reported, "every": (count - 1) // int(each) + 1, "last": count - 1}
        curve = session.rows(_THINNED, where)
        found += [(row.trial, row.fold, row.token, reported, step, value, count) for step, value in curve]
    return found


def usage_of(session: Session, experiment: str, number: int) -> Sequence[Row[Any]]:
    """What each attempt of a trial used (fold, token, state, started_at, samples), in order."""
    query = (
        select(attempts.c.fold, attempts.c.token, attempts.c.state, attempts.c.started_at, usage.c.samples)
        .join(usage, usage.c.attempt == attempts.c.id)
        .where(attempts.c.experiment == experiment, attempts.c.trial == number)
    )
    return session.select(query.order_by(attempts.c.fold, attempts.c.token))


def spans_between(session: Session, experiment: str, told: int, upto: int) -> list[Any]:
    """(trial, begin, end) of every attempt of the trials in that part of the history."""
    return session.rows(hot.SPANS_BETWEEN, {"experiment": experiment, "after": told, "upto": upto})


def ran_between(session: Session, experiment: str, told: int, upto: int) -> list[Any]:
    """(trial, begin, seconds) of every attempt that ran, of the trials in that part of the history."""
    return session.rows(hot.RAN_BETWEEN, {"experiment": experiment, "after": told, "upto": upto})


def open_ran(session: Session, experiment: str) -> list[Any]:
    """The same of the trials that are cancelled."""
    return session.rows(hot.OPEN_RAN, {"experiment": experiment})


def open_spans(session: Session, experiment: str) -> list[Any]:
    """The same of the trials that are queued, running or cancelled."""
    return session.rows(hot.OPEN_SPANS, {"experiment": experiment})


def spans_of(session: Session, experiment: str, numbers: Sequence[int]) -> list[Any]:
    """The same of these trials."""
    query = select(attempts.c.trial, attempts.c.leased_at, attempts.c.finished_at)
    return session.among(query.where(attempts.c.experiment == experiment), attempts.c.trial, numbers)
