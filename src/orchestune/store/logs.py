"""Queries on events and log segments, in the order of their sequence numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import BigInteger, ColumnElement, func, literal, or_, select

from orchestune.domain.lifecycle.states import AttemptState, TrialState, WorkerState
from orchestune.store.session import Session
from orchestune.store.statements.journal import MOVE_SEGMENT
from orchestune.store.tables import attempts, events, log_segments, trials, workers

ALL_OBJECTS = "logs/"
"""key prefix of all log objects in the file store"""


class EventRow(Struct, frozen=True, gc=False):
    """A row of `events`."""

    experiment: str
    seq: int
    at: float
    actor: str
    kind: str
    data: str


class LogSegment(Struct, frozen=True, gc=False):
    """Consecutive bytes of an attempt's log, as one report carried them.

    They are in `data`, or are `length` bytes of `object_key` in the file store at `object_offset`.

    `data` may be packed (`log_compression`). `object_offset` is a virtual offset (`files.gzip_blocks`) if the object is
    compressed.
    """

    length: int
    data: bytes | None
    object_key: str | None
    object_offset: int | None


class SegmentRow(LogSegment, frozen=True, gc=False):
    """A row of `log_segments`."""

    experiment: str
    seq: int
    attempt: str
    trial: int
    offset: int
    gap: int
    at: float


class SegmentOfAttempt(SegmentRow, frozen=True, gc=False):
    """A segment with its attempt's fold, number and log length, and the worker's name."""

    fold: int
    attempt_number: int
    log_bytes: int | None
    worker_name: str | None


class MovedSegment(Struct, frozen=True, gc=False):
    """A segment whose bytes were moved to the offset `at` of an object, a virtual one."""

    experiment: str
    seq: int
    at: int


class _Length(Struct, frozen=True, gc=False):
    seq: int
    length: int


def events_after(
    session: Session, experiment: str, after: int, limit: int, kinds: Sequence[str] = (), upto: int | None = None
) -> list[EventRow]:
    """Return up to `limit` events with a number above `after` and at most `upto`, of these kinds or of all."""
    query = select(events).where(*_events(experiment, after, kinds))
    if upto is not None:
        query = query.where(events.c.seq <= upto)
    return session.select(query.order_by(events.c.seq).limit(limit), EventRow)


def last_event_within(
    session: Session, experiment: str, after: int, limit: int, kinds: Sequence[str], most: int
) -> int | None:
    """Return the number of the last of the next `limit` events that fit into `most` characters; None if all fit.

    The first event always counts as fitting.
    """
    query = select(events.c.seq, func.length(events.c.data).label("length")).where(*_events(experiment, after, kinds))
    return _last_fitting(session.select(query.order_by(events.c.seq).limit(limit), _Length), most)


def _events(experiment: str, after: int, kinds: Sequence[str]) -> list[ColumnElement[bool]]:
    where = [events.c.experiment == experiment, events.c.seq > _cursor(after)]
    return where + ([events.c.kind.in_(kinds)] if kinds else [])


def _last_fitting(rows: Sequence[_Length], most: int) -> int | None:
    """Return the number of the last row that fits into `most`, but at least the first one; None if all fit."""
    fit = sum(size <= most for size in accumulate(row.length for row in rows))
    return rows[max(fit, 1) - 1].seq if fit < len(rows) else None


def _cursor(after: int) -> ColumnElement[int]:
    """Return the parameter typed as 64 bits: PostgreSQL rejects one beyond the column's 32 bits."""
    return literal(after, BigInteger)


def last_event(session: Session, experiment: str, besides: str) -> int:
    """Return the number of the newest event of a kind other than `besides`, 0 if there is none."""
    query = select(events.c.seq).where(events.c.experiment == experiment, events.c.kind != besides)
    return session.first(query.order_by(events.c.seq.desc()).limit(1), int) or 0


def last_within(
    session: Session, experiment: str, after: int, most: int, trial: int | None, since: float | None, limit: int
) -> int | None:
    """Return the number of the last of the next `limit` segments that fit into `most` bytes together; None if all fit.

    The first segment always counts as fitting.
    """
    query = select(log_segments.c.seq, log_segments.c.length).where(*_behind(experiment, after, trial, since))
    return _last_fitting(session.select(query.order_by(log_segments.c.seq).limit(limit), _Length), most)


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
    """Return up to `limit` segments with a number above `after` and at most `upto`."""
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
    session: Session, experiment: str, trial: int | None, limit: int, most: int, before: int | None = None
) -> list[SegmentRow]:
    """Return the last `limit` segments, or the last ones with a number below `before`, newest first.

    Together they have at most `most` bytes, unless the newest one alone has more.
    """
    where = [log_segments.c.experiment == experiment]
    where += [log_segments.c.seq < before] if before is not None else []
    where += [log_segments.c.trial == trial] if trial is not None else []
    newest_first = log_segments.c.seq.desc()
    query = select(log_segments.c.seq, log_segments.c.length).where(*where).order_by(newest_first).limit(limit)
    lowest = _last_fitting(session.select(query, _Length), most)
    if lowest is not None:
        where.append(log_segments.c.seq >= lowest)
    return session.select(select(log_segments).where(*where).order_by(newest_first).limit(limit), SegmentRow)


def newest_of(session: Session, attempt: str, limit: int, needed: int) -> list[SegmentRow]:
    """Return the last segments of one attempt, newest first: up to `limit`, and no more than have `needed` bytes."""
    total, count = 0, 0
    for length in newest_lengths(session, attempt, 0, limit):
        total, count = total + length, count + 1
        if total >= needed:
            break
    query = select(log_segments).where(log_segments.c.attempt == attempt)
    return session.select(query.order_by(log_segments.c.offset.desc()).limit(count), SegmentRow)


def newest_lengths(session: Session, attempt: str, start: int, limit: int) -> list[int]:
    """Return the lengths in bytes of an attempt's last segments with an offset of at least `start`, newest first."""
    query = select(log_segments.c.length).where(log_segments.c.attempt == attempt, log_segments.c.offset >= start)
    return session.select(query.order_by(log_segments.c.offset.desc()).limit(limit), int)


def has_segments(session: Session, attempt: str, count: int) -> bool:
    """Return True if the attempt has at least `count` segments. Reads up to `count` entries of an index."""
    query = select(log_segments.c.offset).where(log_segments.c.attempt == attempt).order_by(log_segments.c.offset)
    return bool(session.select(query.limit(1).offset(count - 1), int))


def ended(session: Session, experiment: str, trial: int) -> bool:
    """Return True if a trial is finished and the server has received the complete logs of its attempts.

    An attempt that the server stopped may print more during its grace period, until its worker reports its end or is
    lost.
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
    """Return the key prefix of an experiment's log objects in the file store."""
    return f"{ALL_OBJECTS}{experiment}/"


def experiment_of(key: str) -> str:
    """Return the experiment of a log object."""
    return key.removeprefix(ALL_OBJECTS).partition("/")[0]


def object_key(attempt: str, experiment: str, offset: int, length: int) -> str:
    """Return the key of the object with `length` bytes of an attempt's log from `offset` on, without its suffix.

    The length is part of it: objects are immutable, and an interrupted run may have left a shorter one.
    """
    return f"{prefix(experiment)}{attempt}-{offset}-{length}"


def converted_prefix(key: str) -> str:
    """Return the key prefix of the compressed form of an object."""
    return f"{key}-"


def to_move(session: Session, limit: int, inline_bytes: int) -> list[str]:
    """Return finished attempts that have more than `inline_bytes` of their log in rows."""
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


def inline_segments(session: Session, attempt: str, limit: int) -> list[SegmentRow]:
    """Return the first `limit` segments of one attempt whose bytes are still in rows, ordered by offset."""
    query = select(log_segments).where(log_segments.c.attempt == attempt, log_segments.c.object_key.is_(None))
    return session.select(query.order_by(log_segments.c.offset).limit(limit), SegmentRow)


def moved(session: Session, key: str, segments: Sequence[MovedSegment]) -> None:
    """Record that the bytes of these segments are in the object `key` of the file store."""
    session.many(MOVE_SEGMENT, [asdict(segment) | {"key": key} for segment in segments])


def segments_of_object(session: Session, experiment: str, key: str) -> list[SegmentRow]:
    """Return the segments whose bytes are in one object, in the order of their numbers."""
    query = select(log_segments).where(log_segments.c.experiment == experiment, log_segments.c.object_key == key)
    return session.select(query.order_by(log_segments.c.seq), SegmentRow)
