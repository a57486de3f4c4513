"""Cold queries on attempts, their reported points and their resource usage."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import Subquery, and_, func, null, select

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.specification.metrics import Point
from orchestune.store.rows import Query
from orchestune.store.session import Session, batches
from orchestune.store.statements.points import CURVE_ENDS, LAST_POINTS, SPACED_POINTS
from orchestune.store.statements.spans import OPEN_RAN, OPEN_SPANS, RAN_BETWEEN, SPANS_BETWEEN, AttemptSpan, RunColumns
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
        """The reason of the state or, without one, the status of the files' upload, as JSON."""
        if self.reason or self.files_state is None:
            return self.reason
        code = ReasonCode.FILES_LOST if self.files_state == "lost" else ReasonCode.FILES_ON_THE_WAY
        return json.dumps(Reason(code, self.files_message or "").to_json())


class AttemptOfWorker(AttemptRow, frozen=True, gc=False):
    """An attempt with the name of its worker, None if the worker is no longer stored."""

    worker_name: str | None


class LiveAttempt(AttemptOfWorker, frozen=True, gc=False):
    """An attempt that holds a lease, with the parameters of its trial as JSON."""

    parameters: str


class NewestAttempt(Struct, frozen=True, gc=False):
    """Time, node and worker of an attempt."""

    trial: int
    fold: int
    attempt_number: int
    state: str
    leased_at: float
    finished_at: float | None
    node: str
    worker_name: str | None


class UsageOfAttempt(Struct, frozen=True, gc=False):
    """Resource usage of an attempt. `samples`: JSON."""

    fold: int
    attempt_number: int
    state: str
    started_at: float | None
    samples: str


class CurvePoint(Struct, frozen=True, gc=False):
    """A reported value. `step`: the value's position in the curve if no step was reported."""

    step: float
    value: float


class AttemptCurve(Struct, frozen=True):
    """The values of a metric that an attempt reported: `reported` in total, `points` possibly thinned to every k-th."""

    trial: int
    fold: int
    attempt_number: int
    name: str
    reported: int
    points: list[CurvePoint]


def find(session: Session, attempt: str) -> AttemptRow | None:
    """Return one attempt by id, None if absent."""
    return session.first(select(attempts).where(attempts.c.id == attempt), AttemptRow)


MAX_SHOWN_ATTEMPTS = 1000
"""Newest attempts of a trial, which documents contain: it may have any number, each with a reason and a log tail."""
_MAX_SHOWN_USAGE = 200
"""Attempts of a trial with their resource usage, up to 30 KiB each."""
_MAX_SHOWN_CURVES = 10_000
"""Curves of all trials of a document: an attempt may report a thousand metrics."""


def of_trials(
    session: Session, experiment: str, numbers: Iterable[int], *, tails: bool = True
) -> dict[int, list[AttemptOfWorker]]:
    """Return the newest attempts of these trials by trial number, ordered by fold and attempt number.

    Columns that no document contains are left empty, as are the log tails without `tails`.
    """
    left_out = {"non_finite"} if tails else {"non_finite", "log_tail"}
    columns = [null().label(column.name) if column.name in left_out else column for column in attempts.c]
    by_trial: dict[int, list[AttemptOfWorker]] = defaultdict(list)
    for batch in batches(numbers):
        ranked = _newest(experiment, batch)
        query = (
            select(*columns, workers.c.name.label("worker_name"))
            .join(ranked, ranked.c.id == attempts.c.id)
            .join(workers, workers.c.id == attempts.c.worker, isouter=True)
            .where(ranked.c.place <= MAX_SHOWN_ATTEMPTS)
            .order_by(attempts.c.trial, attempts.c.fold, attempts.c.attempt_number)
        )
        for attempt in session.select(query, AttemptOfWorker):
            by_trial[attempt.trial].append(attempt)
    return by_trial


def _newest(experiment: str, numbers: Sequence[object]) -> Subquery:
    """Return a query for the attempts of these trials, each with its `place` in its trial, from 1 for the newest."""
    newest_first = (attempts.c.leased_at.desc(), attempts.c.fold, attempts.c.attempt_number.desc())
    place = func.row_number().over(partition_by=attempts.c.trial, order_by=newest_first).label("place")
    query = select(attempts.c.id, place)
    return query.where(attempts.c.experiment == experiment, attempts.c.trial.in_(numbers)).subquery()


def live(session: Session, experiment: str, limit: int = 100) -> list[LiveAttempt]:
    """Return up to `limit` attempts that hold a lease, ordered by trial and fold."""
    by_trial = attempts.c.trial + 0  # an expression has no index, so that the planner uses the index by state
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
    """Return the attempts of the newest trials, the latest lease first. Reads only `limit` attempts."""
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


def spaced_points(session: Session, attempt: str, name: str, most: int) -> list[Point]:
    """Return up to `most` points of a metric, about evenly spaced from the first to the last; empty without points.

    Takes about `most` lookups in the primary key: an attempt may have millions of points.
    """
    [ends] = session.rows(CURVE_ENDS, {"attempt": attempt, "name": name})
    if ends.first is None or ends.last is None:
        return []
    where = {"attempt": attempt, "name": name}
    stride = -(-(ends.last - ends.first) // max(most - 1, 1)) or 1
    spaced = session.rows(SPACED_POINTS, {**where, "stride": stride, "most": most})
    if spaced and spaced[-1].sequence == ends.last:
        return spaced
    return [*spaced[: most - 1], *session.rows(LAST_POINTS, {**where, "upto": math.inf, "count": 1})]


def with_points(session: Session, experiment: str, limit: int) -> list[int]:
    """Return the newest trials that reported intermediate values (more than one point)."""
    query = (
        select(attempts.c.trial)
        .where(attempts.c.experiment == experiment, attempts.c.point_count > 1)
        .group_by(attempts.c.trial)
        .order_by(attempts.c.trial.desc())
        .limit(limit)
    )
    return session.select(query, int)


MIN_CURVE_POINTS = 100
"""lower bound on the values of a thinned curve, however many curves there are"""


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
    """Return the curves that attempts of these trials reported, ordered by trial, fold, attempt and name.

    A curve is thinned to about `most` values: every k-th and the last. If all curves together would exceed `in_all`,
    each gets fewer, but at least `MIN_CURVE_POINTS`; of very many curves, those of the newest attempts are returned.
    Each curve is read by its own query in the order of the index: sorting a million values takes seconds.
    """
    newest_first: list[_AttemptId] = []
    for batch in batches(sorted(numbers, reverse=True)):
        ranked = _newest(experiment, batch)
        query = (
            select(attempts.c.trial, attempts.c.fold, attempts.c.attempt_number, attempts.c.id)
            .join(ranked, ranked.c.id == attempts.c.id)
            .where(ranked.c.place <= MAX_SHOWN_ATTEMPTS)
            .order_by(attempts.c.trial.desc(), ranked.c.place)
        )
        newest_first += session.select(query, _AttemptId)
    counted = _COUNTED if name is None else _COUNTED_ALONE
    counts: list[tuple[_AttemptId, _ReportedCount]] = []
    for attempt in newest_first:
        if len(counts) >= _MAX_SHOWN_CURVES:
            break
        counts += [(attempt, reported) for reported in session.rows(counted, {"attempt": attempt.id, "name": name})]
    counts.sort(key=lambda count: (count[0].trial, count[0].fold, count[0].attempt_number))
    each = int(min(most, max(in_all / max(len(counts), 1), MIN_CURVE_POINTS)))
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
    """Return the resource usage of a trial's newest attempts, ordered by fold and attempt number."""
    ranked = _newest(experiment, [number])
    query = (
        select(attempts.c.fold, attempts.c.attempt_number, attempts.c.state, attempts.c.started_at, usage.c.samples)
        .join(usage, usage.c.attempt == attempts.c.id)
        .join(ranked, ranked.c.id == attempts.c.id)
        .where(ranked.c.place <= _MAX_SHOWN_USAGE)
    )
    return session.select(query.order_by(attempts.c.fold, attempts.c.attempt_number), UsageOfAttempt)


def spans_between(session: Session, experiment: str, after: int, upto: int) -> list[AttemptSpan]:
    """Return the lease of every attempt of the trials with `after < history_seq <= upto`."""
    return session.rows(SPANS_BETWEEN, {"experiment": experiment, "after": after, "upto": upto})


def ran_between(session: Session, experiment: str, after: int, upto: int) -> RunColumns:
    """Return the attempts that ran, of the trials with `after < history_seq <= upto`."""
    return session.columns(RAN_BETWEEN, {"experiment": experiment, "after": after, "upto": upto})


def open_ran(session: Session, experiment: str) -> RunColumns:
    """Return the attempts that ran, of cancelled trials."""
    return session.columns(OPEN_RAN, {"experiment": experiment})


def open_spans(session: Session, experiment: str) -> list[AttemptSpan]:
    """Return the lease of every attempt of queued, running and cancelled trials."""
    return session.rows(OPEN_SPANS, {"experiment": experiment})


def spans_of(session: Session, experiment: str, numbers: Sequence[int]) -> list[AttemptSpan]:
    """Return the lease of every attempt of these trials."""
    query = select(attempts.c.trial, attempts.c.leased_at, attempts.c.finished_at)
    return session.among(query.where(attempts.c.experiment == experiment), attempts.c.trial, numbers, AttemptSpan)
