"""Rows of attempts, and of what they reported and used: the cold queries."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import and_, select

from orchestune.domain.metrics import Point
from orchestune.domain.states import Reason, ReasonCode
from orchestune.store import hot
from orchestune.store.hot import AttemptSpan, RunColumns
from orchestune.store.rows import Query
from orchestune.store.session import Session
from orchestune.store.tables import attempts, trials, usage, workers


class AttemptRow(Struct, frozen=True, gc=False):
    """One execution of a fold. JSON: `reason`, `gpus`, `members`, `resumed_from`, `non_finite`."""

    id: str
    experiment: str
    trial: int
    fold: int
    attempt_number: int
    state: str
    stop_order: str | None
    reason: str | None
    files_state: str | None
    files_message: str | None
    worker: str
    lease_call: int
    node: str
    gpus: str | None
    exit_code: int | None
    signal: int | None
    leased_at: float
    started_at: float | None
    finished_at: float | None
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory: int | None
    point_count: int
    log_end: int
    log_bytes: int | None
    log_tail: str | None
    raised_memory: int | None
    resumed_from: str | None
    non_finite: str | None

    @property
    def shown_reason(self) -> str | None:
        """The reason of its state, or else what became of its files, as JSON."""
        if self.reason or self.files_state is None:
            return self.reason
        code = ReasonCode.FILES_LOST if self.files_state == "lost" else ReasonCode.FILES_ON_THE_WAY
        return json.dumps(Reason(code, self.files_message or "").to_json())


class AttemptOfWorker(AttemptRow, frozen=True, gc=False):
    """An attempt with the name of its worker, None if that is no longer stored."""

    worker_name: str | None


class LiveAttempt(AttemptOfWorker, frozen=True, gc=False):
    """An attempt that holds a lease, with the parameters of its trial as JSON."""

    parameters: str


class NewestAttempt(Struct, frozen=True, gc=False):
    """When and where an attempt ran."""

    trial: int
    fold: int
    attempt_number: int
    state: str
    leased_at: float
    finished_at: float | None
    node: str
    worker_name: str | None


class UsageOfAttempt(Struct, frozen=True, gc=False):
    """What an attempt used. `samples`: JSON."""

    fold: int
    attempt_number: int
    state: str
    started_at: float | None
    samples: str


class CurvePoint(Struct, frozen=True, gc=False):
    """A reported value; the step is counted if none was reported."""

    step: float
    value: float


class AttemptCurve(Struct, frozen=True):
    """What an attempt reported of a metric: `reported` values in all, of which `points` may be every k-th."""

    trial: int
    fold: int
    attempt_number: int
    name: str
    reported: int
    points: list[CurvePoint]


def find(session: Session, attempt: str) -> AttemptRow | None:
    """One attempt by id."""
    return session.first(select(attempts).where(attempts.c.id == attempt), AttemptRow)


def of_trials(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, list[AttemptOfWorker]]:
    """number → attempts in the order of their leases, each with its worker's name."""
    query = (
        select(attempts, workers.c.name.label("worker_name"))
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(attempts.c.experiment == experiment)
        .order_by(attempts.c.trial, attempts.c.fold, attempts.c.attempt_number)
    )
    by_trial: dict[int, list[AttemptOfWorker]] = defaultdict(list)
    for attempt in session.among(query, attempts.c.trial, numbers, AttemptOfWorker):
        by_trial[attempt.trial].append(attempt)
    return by_trial


def live(session: Session, experiment: str, limit: int = 100) -> list[LiveAttempt]:
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
    return session.select(query, LiveAttempt)


def newest(session: Session, experiment: str, limit: int) -> list[NewestAttempt]:
    """When and where the attempts of the newest trials ran, the newest first. Reads no others."""
    query = (
        select(
            attempts.c.trial,
            attempts.c.fold,
            attempts.c.attempt_number,
            attempts.c.state,
            attempts.c.leased_at,
            attempts.c.finished_at,
            attempts.c.node,
            workers.c.name.label("worker_name"),
        )
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(attempts.c.experiment == experiment)
        .order_by(attempts.c.trial.desc(), attempts.c.fold.desc(), attempts.c.attempt_number.desc())
        .limit(limit)
    )
    return sorted(session.select(query, NewestAttempt), key=lambda attempt: -attempt.leased_at)


def latest_points(session: Session, attempts_: Sequence[str], name: str) -> dict[str, Point]:
    """Return the newest point that each of these attempts reported of a metric.

    Asked one by one, which finds it at the end of its index: there may be millions before it.
    """
    newest_points: dict[str, Point] = {}
    for attempt in attempts_:
        where = {"attempt": attempt, "name": name, "upto": math.inf, "count": 1}
        for point in session.rows(hot.LAST_POINTS, where):
            newest_points[attempt] = point
    return newest_points


def with_points(session: Session, experiment: str, limit: int) -> list[int]:
    """The newest trials that reported values while they ran."""
    query = (
        select(attempts.c.trial)
        .where(attempts.c.experiment == experiment, attempts.c.point_count > 1)
        .group_by(attempts.c.trial)
        .order_by(attempts.c.trial.desc())
        .limit(limit)
    )
    return session.select(query, int)


LEAST_POINTS = 100
"""values of a curve that are worth drawing, however many curves there are"""


class _ReportedCount(Struct, frozen=True, gc=False):
    name: str
    count: int


_COUNTED = Query(
    _ReportedCount, "SELECT name, COUNT(*) AS count FROM points WHERE attempt = :attempt GROUP BY name ORDER BY name"
)
_COUNTED_ALONE = Query(
    _ReportedCount,
    "SELECT name, COUNT(*) AS count FROM points WHERE attempt = :attempt AND name = :name GROUP BY name",
)
_THINNED = Query(
    CurvePoint,
    """
SELECT COALESCE(p.step, k.place) AS step, p.value
FROM (SELECT sequence, ROW_NUMBER() OVER (ORDER BY sequence) - 1 AS place FROM points
WHERE attempt = :attempt AND name = :name) k
JOIN points p ON p.attempt = :attempt AND p.name = :name AND p.sequence = k.sequence
WHERE k.place % :every = 0 OR k.place = :last ORDER BY k.place
""",
)


class _AttemptId(Struct, frozen=True, gc=False):
    trial: int
    fold: int
    attempt_number: int
    id: str


def points_of(
    session: Session,
    experiment: str,
    numbers: Sequence[int],
    most: int,
    name: str | None = None,
    in_all: float = math.inf,
) -> list[AttemptCurve]:
    """Return what attempts of these trials reported while they ran, by trial, fold, attempt and time.

    Each curve has about `most` values, every k-th and the last; fewer if there are so many names that `in_all` would be
    exceeded, but never fewer than `LEAST_POINTS`. They are read curve by curve, which their index has in order: sorting
    a million values takes seconds.
    """
    query = select(attempts.c.trial, attempts.c.fold, attempts.c.attempt_number, attempts.c.id)
    query = query.where(attempts.c.experiment == experiment)
    query = query.order_by(attempts.c.trial, attempts.c.fold, attempts.c.attempt_number)
    counted = _COUNTED if name is None else _COUNTED_ALONE
    counts = [
        (attempt, reported)
        for attempt in session.among(query, attempts.c.trial, sorted(numbers), _AttemptId)
        for reported in session.rows(counted, {"attempt": attempt.id, "name": name})
    ]
    each = int(min(most, max(in_all / max(len(counts), 1), LEAST_POINTS)))
    curves: list[AttemptCurve] = []
    for attempt, reported in counts:
        last = reported.count - 1
        where = {"attempt": attempt.id, "name": reported.name, "every": last // each + 1, "last": last}
        points = session.rows(_THINNED, where)
        curves.append(
            AttemptCurve(attempt.trial, attempt.fold, attempt.attempt_number, reported.name, reported.count, points)
        )
    return curves


def usage_of(session: Session, experiment: str, number: int) -> list[UsageOfAttempt]:
    """What each attempt of a trial used, in order."""
    query = (
        select(attempts.c.fold, attempts.c.attempt_number, attempts.c.state, attempts.c.started_at, usage.c.samples)
        .join(usage, usage.c.attempt == attempts.c.id)
        .where(attempts.c.experiment == experiment, attempts.c.trial == number)
    )
    return session.select(query.order_by(attempts.c.fold, attempts.c.attempt_number), UsageOfAttempt)


def spans_between(session: Session, experiment: str, after: int, upto: int) -> list[AttemptSpan]:
    """The lease of every attempt of the trials in that part of the history."""
    return session.rows(hot.SPANS_BETWEEN, {"experiment": experiment, "after": after, "upto": upto})


def ran_between(session: Session, experiment: str, after: int, upto: int) -> RunColumns:
    """Every attempt that ran, of the trials in that part of the history."""
    return session.columns(hot.RAN_BETWEEN, {"experiment": experiment, "after": after, "upto": upto})


def open_ran(session: Session, experiment: str) -> RunColumns:
    """The same of the trials that are cancelled."""
    return session.columns(hot.OPEN_RAN, {"experiment": experiment})


def open_spans(session: Session, experiment: str) -> list[AttemptSpan]:
    """The lease of every attempt of the trials that are queued, running or cancelled."""
    return session.rows(hot.OPEN_SPANS, {"experiment": experiment})


def spans_of(session: Session, experiment: str, numbers: Sequence[int]) -> list[AttemptSpan]:
    """The lease of every attempt of these trials."""
    query = select(attempts.c.trial, attempts.c.leased_at, attempts.c.finished_at)
    return session.among(query.where(attempts.c.experiment == experiment), attempts.c.trial, numbers, AttemptSpan)
