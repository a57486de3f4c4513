"""Logs as the API shows them: segments in the order in which they arrived."""

from __future__ import annotations

from datetime import datetime

from orchestune import documents
from orchestune.errors import BadInput
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.log_bytes import read_all
from orchestune.store import experiments
from orchestune.store import logs as rows
from orchestune.store.logs import SegmentOfAttempt

_MOST_BYTES = 4 * 2**20
"""of what was printed on one page, unless a single segment has more"""
_TAIL_BYTES, _TAIL_LINE = 2**20, 2000
"""so much of a log is looked through for where a tail starts, or so much for each line, where that is more"""
_TAIL_PARTS = 2000
"""segments, or two for each line: a bar that moves makes many without an end of a line"""
_AT_ONCE = 50
"""segments of a tail that are read at once"""


class LogBatch(documents.LogPage):
    """A page for streams."""

    more: bool
    """more chunks are there already"""
    over: bool
    """none will come any more"""


def logs(
    core: Core,
    ref: str,
    after: int,
    limit: int,
    trial: int | None = None,
    since: str | None = None,
    tail: int | None = None,
) -> LogBatch:
    """A page of `LogChunk`s, the cursor to go on from, whether more are there already, and whether it, or the `trial`,
    is over and all was read. There may be fewer than `limit` though more are there, where they are large.

    `tail` starts near the end, so that about that many lines follow (never fewer, where as many are not too far from
    it); the reader cuts. It counts for the first page only: later ones say `after`.
    """
    start = time_of(since)
    if tail is not None and after == 0:
        after = _before_tail(core, ref, trial, max(tail, 1))
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        upto = rows.last_within(session, experiment.id, after, _MOST_BYTES, trial, start, limit)
        found = rows.segments_after(session, experiment.id, after, limit, trial, start, upto)
        over = experiment.state.over or (trial is not None and rows.ended(session, experiment.id, trial))
    several = experiment.specification.folds.count > 1
    data = read_all(core.files, found)
    items = [_chunk(row, text, several) for row, text in zip(found, data, strict=True)]
    more = upto is not None or len(found) == limit
    last = found[-1].seq if more else max(after, experiment.log_seq)
    return {"items": items, "next": last, "more": more, "over": over and not more}


def _before_tail(core: Core, ref: str, trial: int | None, tail: int) -> int:
    """The cursor behind which so many lines end; of each attempt one more, whose beginning may lie before it."""
    room, parts, lines = max(tail * _TAIL_LINE, _TAIL_BYTES), max(tail * 2, _TAIL_PARTS), 0
    attempts: set[str] = set()
    before: int | None = None
    while True:
        with core.store.reading() as session:
            found = rows.last_segments(session, experiments.find(session, ref).id, trial, _AT_ONCE, before)
        if not found:
            return 0
        for segment, data in zip(found, read_all(core.files, found), strict=True):
            attempts.add(segment.attempt)
            before, room, parts, lines = segment.seq, room - len(data), parts - 1, lines + data.count(b"\n")
            if lines - len(attempts) >= tail or room <= 0 or parts <= 0:
                return before - 1


def end(core: Core, ref: str) -> int:
    """The cursor behind all that was printed so far."""
    with core.store.reading() as session:
        return experiments.find(session, ref).log_seq


def _chunk(row: SegmentOfAttempt, data: bytes, several: bool) -> documents.LogChunk:
    return {
        "cursor": row.seq,
        "trial": row.trial,
        "fold": row.fold if several else None,
        "attempt": row.attempt,
        "attempt_number": row.attempt_number,
        "worker": row.worker_name,
        "at": rfc3339(row.at),
        "offset": row.offset,
        "text": data.decode("utf-8", "replace"),
        "gap": row.gap,
        "last": row.log_bytes is not None and row.offset + row.length >= row.log_bytes,
    }


def time_of(text: str | None) -> float | None:
    """Return the seconds since 1970 of a time that a caller wrote. BadInput if it is not a time."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadInput.one(f"'{text}' is no time; write it as 2026-01-31T12:00:00Z", key="since") from None
