"""Events and log segments, read in the order of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import BigInteger, ColumnElement, func, literal, or_, select

from orchestune.domain.states import AttemptState, TrialState, WorkerState
from orchestune.store import hot
from orchestune.store.session import Session
from orchestune.store.tables import attempts, events, log_segments, trials, workers


class EventRow(Struct, frozen=True, gc=False):
    """A row of `events`."""

    experiment: str
    seq: int
    at: float
    actor: str
    kind: str
    data: str


class Segment(Struct, frozen=True, gc=False):
    """The bytes of a log segment: `data`, or those of `object_key` in the file store from `object_offset` on."""

    length: int
    data: bytes | None
    object_key: str | None
    object_offset: int | None


class SegmentRow(Segment, frozen=True, gc=False):
    """A row of `log_segments`."""

    experiment: str
    seq: int
    attempt: str
    trial: int
    offset: int
    gap: int
    at: float


class SegmentOfAttempt(SegmentRow, frozen=True, gc=False):
    """A segment with its attempt's fold, token and length of the log, and the worker's name."""

    fold: int
    attempt_number: int
    log_bytes: int | None
    worker_name: str | None


class MovedSegment(Struct, frozen=True, gc=False):
    """A segment whose bytes were moved to the position `at` of an object."""

    experiment: str
    seq: int
    at: int


class _SegmentLength(Struct, frozen=True, gc=False):
    seq: int
    length: int


def events_after(
    session: Session, experiment: str, after: int, limit: int, kinds: Sequence[str] = ()
) -> list[EventRow]:
    """Events with a number above `after`; of some kinds, or all."""
    query = select(events).where(events.c.experiment == experiment, events.c.seq > _cursor(after))
    if kinds:
        query = query.where(events.c.kind.in_(kinds))
    return session.select(query.order_by(events.c.seq).limit(limit), EventRow)


def _cursor(after: int) -> ColumnElement[int]:
    """Return the parameter as a 64-bit number: PostgreSQL refuses one beyond the column's 32 bits."""
    return literal(after, BigInteger)


def last_event(session: Session, experiment: str, besides: str) -> int:
    """The number of the newest event of another kind than `besides`; 0 where there is none."""
    query = select(events.c.seq).where(events.c.experiment == experiment, events.c.kind != besides)
    return session.first(query.order_by(events.c.seq.desc()).limit(1), int) or 0


def last_within(
    session: Session, experiment: str, after: int, most: int, trial: int | None, since: float | None, limit: int
) -> int | None:
    """The number of the last of the next `limit` segments that have at most so many bytes together, the first in any
    case; None where all of them fit.
    """
    query = select(log_segments.c.seq, log_segments.c.length).where(*_behind(experiment, after, trial, since))
    segments = session.select(query.order_by(log_segments.c.seq).limit(limit), _SegmentLength)
    sizes = accumulate(segment.length for segment in segments)
    fit = sum(size <= most for size in sizes)
    return segments[max(fit, 1) - 1].seq if fit < len(segments) else None


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
) -> list[SegmentOfAttempt]:
    """Segments with a number above `after`."""
    query = (
        select(
            log_segments,
            attempts.c.fold,
            attempts.c.attempt_number,
            attempts.c.log_bytes,
            workers.c.name.label("worker_name"),
        )
        .join(attempts, attempts.c.id == log_segments.c.attempt)
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(*_behind(experiment, after, trial, since))
    )
    if upto is not None:
        query = query.where(log_segments.c.seq <= upto)
    return session.select(query.order_by(log_segments.c.seq).limit(limit), SegmentOfAttempt)


def last_segments(
    session: Session, experiment: str, trial: int | None, limit: int, before: int | None = None
) -> list[SegmentRow]:
    """The newest segments, or those with the highest numbers below `before`; newest first."""
    query = select(log_segments).where(log_segments.c.experiment == experiment)
    if before is not None:
        query = query.where(log_segments.c.seq < before)
    if trial is not None:
        query = query.where(log_segments.c.trial == trial)
    return session.select(query.order_by(log_segments.c.seq.desc()).limit(limit), SegmentRow)


def newest_of(session: Session, attempt: str, limit: int) -> list[SegmentRow]:
    """The newest segments of one attempt, the newest first."""
    query = select(log_segments).where(log_segments.c.attempt == attempt)
    return session.select(query.order_by(log_segments.c.offset.desc()).limit(limit), SegmentRow)


def newest_lengths(session: Session, attempt: str, start: int, limit: int) -> list[int]:
    """Return the lengths of the newest segments of one attempt at position `start` or behind it, the newest first."""
    query = select(log_segments.c.length).where(log_segments.c.attempt == attempt, log_segments.c.offset >= start)
    return session.select(query.order_by(log_segments.c.offset.desc()).limit(limit), int)


def ended(session: Session, experiment: str, trial: int) -> bool:
    """Whether a trial is over, and all has arrived that its attempts said at their end to have printed.

    One that was ended from here may print more in its grace period, until its worker says that it ended, or is gone.
    """
    query = select(trials.c.state).where(trials.c.experiment == experiment, trials.c.number == trial)
    if not any(TrialState(state).over for state in session.select(query, str)):
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
    return not session.select(missing.limit(1), str)


def prefix(experiment: str) -> str:
    """What the keys of all moved logs of an experiment begin with."""
    return f"logs/{experiment}/"


def to_move(session: Session, limit: int, inline_bytes: int) -> list[str]:
    """Attempts that are over and hold more than `inline_bytes` of their log in rows."""
    query = (
        select(log_segments.c.attempt)
        .join(attempts, attempts.c.id == log_segments.c.attempt)
        .where(
            log_segments.c.object_key.is_(None), log_segments.c.data.is_not(None), attempts.c.finished_at.is_not(None)
        )
        .group_by(log_segments.c.attempt)
        .having(func.sum(log_segments.c.length) > inline_bytes)
        .limit(limit)
    )
    return session.select(query, str)


def inline_segments(session: Session, attempt: str) -> list[SegmentRow]:
    """The segments of one attempt that still lie in rows, in order."""
    query = select(log_segments).where(log_segments.c.attempt == attempt, log_segments.c.object_key.is_(None))
    return session.select(query.order_by(log_segments.c.offset), SegmentRow)


def moved(session: Session, key: str, segments: Sequence[MovedSegment]) -> None:
    """Segments' bytes lie in the object `key` of the file store from now on."""
    session.many(hot.MOVE_SEGMENT, [asdict(segment) | {"key": key} for segment in segments])
