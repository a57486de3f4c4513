"""Events and log segments, read in the order of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, func, literal, or_, select

from orchestune.domain.states import AttemptState, TrialState, WorkerState
from orchestune.store import hot
from orchestune.store.session import Session
from orchestune.store.tables import attempts, events, log_segments, trials, workers


def events_after(
    session: Session, experiment: str, after: int, limit: int, kinds: Sequence[str] = ()
) -> Sequence[Row[Any]]:
    """Events with a number above `after`; of some kinds, or all."""
    query = select(events).where(events.c.experiment == experiment, events.c.seq > _cursor(after))
    if kinds:
        query = query.where(events.c.kind.in_(kinds))
    return session.select(query.order_by(events.c.seq).limit(limit))


def _cursor(after: int) -> ColumnElement[int]:
    """Return the parameter as a 64-bit number: PostgreSQL refuses one beyond the column's 32 bits."""
    return literal(after, BigInteger)


def last_event(session: Session, experiment: str, besides: str) -> int:
    """The number of the newest event of another kind than `besides`; 0 where there is none."""
    query = select(events.c.seq).where(events.c.experiment == experiment, events.c.kind != besides)
    found = session.first(query.order_by(events.c.seq.desc()).limit(1))
    return int(found.seq) if found else 0


def last_within(
    session: Session, experiment: str, after: int, most: int, trial: int | None, since: float | None, limit: int
) -> int | None:
    """The number of the last of the next `limit` segments that have at most so many bytes together, the first in any
    case; None where all of them fit.
    """
    query = select(log_segments.c.seq, log_segments.c.length).where(*_behind(experiment, after, trial, since))
    found = session.select(query.order_by(log_segments.c.seq).limit(limit))
    sizes = accumulate(segment.length for segment in found)
    fit = sum(size <= most for size in sizes)
    return found[max(fit, 1) - 1].seq if fit < len(found) else None


def _behind(experiment: str, after: int, trial: int | None, since: float | None) -> list[ColumnElement[bool]]:
    where = [log_segments.c.experiment == experiment, log_segments.c.seq > _cursor(after)]
    where += [log_segments.c.trial == trial] if trial is not None else []
    return where + ([log_segments.c.at >= since] if since is not None else [])


def segments_after(
    session: Session,
    experiment: str,
    after: int,
    limit: int,
    trial: int | None = None,
    since: float | None = None,
    upto: int | None = None,
) -> Sequence[Row[Any]]:
    """Segments with a number above `after`, with the attempt's fold, token and bytes, and the worker's name."""
    query = (
        select(
            log_segments,
            attempts.c.fold,
            attempts.c.token,
            attempts.c.log_bytes,
            workers.c.name.label("worker_name"),
        )
        .join(attempts, attempts.c.id == log_segments.c.attempt)
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(*_behind(experiment, after, trial, since))
    )
    if upto is not None:
        query = query.where(log_segments.c.seq <= upto)
    return session.select(query.order_by(log_segments.c.seq).limit(limit))


def last_segments(
    session: Session, experiment: str, trial: int | None, limit: int, before: int | None = None
) -> Sequence[Row[Any]]:
    """The newest segments, or those with the highest numbers below `before`; newest first."""
    query = select(log_segments).where(log_segments.c.experiment == experiment)
    if before is not None:
        query = query.where(log_segments.c.seq < before)
    if trial is not None:
        query = query.where(log_segments.c.trial == trial)
    return session.select(query.order_by(log_segments.c.seq.desc()).limit(limit))


def newest_of(session: Session, attempt: str, limit: int) -> Sequence[Row[Any]]:
    """The newest segments of one attempt, the newest first."""
    query = select(log_segments).where(log_segments.c.attempt == attempt)
    return session.select(query.order_by(log_segments.c.offset.desc()).limit(limit))


def ended(session: Session, experiment: str, trial: int) -> bool:
    """Whether a trial is over, and all has arrived that its attempts said at their end to have printed.

    One that was ended from here may print more in its grace period, until its worker says that it ended, or is gone.
    """
    query = select(trials.c.state).where(trials.c.experiment == experiment, trials.c.number == trial)
    if not any(TrialState(row.state).over for row in session.select(query)):
        return False
    missing = (
        select(attempts.c.id)
        .join(workers, workers.c.id == attempts.c.worker)
        .where(
            attempts.c.experiment == experiment,
            attempts.c.trial == trial,
            workers.c.state.not_in((WorkerState.LOST, WorkerState.ENDED)),
            or_(
                attempts.c.log_end < attempts.c.log_bytes,
                attempts.c.log_bytes.is_(None)
                & attempts.c.started_at.is_not(None)
                & (attempts.c.state != AttemptState.LOST),
            ),
        )
    )
    return not session.select(missing.limit(1))


def prefix(experiment: str) -> str:
    """What the keys of all moved logs of an experiment begin with."""
    return f"logs/{experiment}/"


def to_move(session: Session, limit: int, inline_bytes: int) -> list[str]:
    """Attempts that are over and hold more than `inline_bytes` of their log in rows."""
    query = (
        select(log_segments.c.attempt)
        .join(attempts, attempts.c.id == log_segments.c.attempt)
        .where(log_segments.c.object.is_(None), log_segments.c.data.is_not(None), attempts.c.finished_at.is_not(None))
        .group_by(log_segments.c.attempt)
        .having(func.sum(log_segments.c.length) > inline_bytes)
        .limit(limit)
    )
    return [row[0] for row in session.select(query)]


def inline_segments(session: Session, attempt: str) -> Sequence[Row[Any]]:
    """The segments of one attempt that still lie in rows, in order."""
    query = select(log_segments).where(log_segments.c.attempt == attempt, log_segments.c.object.is_(None))
    return session.select(query.order_by(log_segments.c.offset))


def moved(session: Session, key: str, places: Sequence[tuple[str, int, int]]) -> None:
    """Segments' bytes lie in the file store from now on: (experiment, seq, offset in the object `key`) of each."""
    session.many(
        hot.MOVE_SEGMENT,
        [{"experiment": experiment, "seq": seq, "key": key, "at": offset} for experiment, seq, offset in places],
    )
