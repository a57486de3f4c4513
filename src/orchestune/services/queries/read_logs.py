"""Log documents of the API: segments in order of arrival."""

from __future__ import annotations

from orchestune import documents
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.instants import time_of
from orchestune.services.queries.log_bytes import read_all
from orchestune.store import experiments
from orchestune.store import logs as rows
from orchestune.store.logs import SegmentOfAttempt

_MAX_BYTES = 4 * 2**20
"""Upper bound of the log bytes on one page, unless a single segment is larger."""
_TAIL_BYTES, _TAIL_LINE = 2**20, 2000
"""Bytes searched for the start of a log tail: in total, or per requested line if that is more."""
_TAIL_PARTS = 2000
"""Segments searched, or two per line if that is more: a progress bar produces many segments without a newline."""
_SEGMENTS_PER_QUERY = 50
"""Segments read per query when searching for the start of a log tail."""


class LogBatch(documents.LogPage):
    """Page of log chunks for streams."""

    more: bool
    """True if more chunks are available already."""
    over: bool
    """True if no more chunks will follow."""


def logs(
    core: Core,
    ref: str,
    after: int,
    limit: int,
    trial: int | None = None,
    since: str | None = None,
    tail: int | None = None,
) -> LogBatch:
    """Return a page of `LogChunk`s, the next cursor, and the flags `more` and `over`.

    `more`: more chunks are available. `over`: the experiment (or the `trial`) has ended and all was read. A page of
    large chunks may have fewer than `limit` although more are available.

    `tail` starts near the end, so that at least that many lines follow, unless they lie beyond the search bounds; the
    client cuts the surplus. It applies to the first page only: later ones pass `after`.
    """
    start = time_of(since)
    if tail is not None and after == 0:
        after = _before_tail(core, ref, trial, max(tail, 1))
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        upto = rows.last_within(session, experiment.id, after, _MAX_BYTES, trial, start, limit)
        segments = rows.segments_after(session, experiment.id, after, limit, trial, start, upto)
        over = experiment.state.over or (trial is not None and rows.ended(session, experiment.id, trial))
    several = experiment.specification.folds.count > 1
    data = read_all(core.files, segments)
    items = [_chunk(row, text, several) for row, text in zip(segments, data, strict=True)]
    more = upto is not None or len(segments) == limit
    last = segments[-1].seq if more else max(after, experiment.log_seq)
    return {"items": items, "next": last, "more": more, "over": over and not more}


def _before_tail(core: Core, ref: str, trial: int | None, tail: int) -> int:
    """Return the cursor after which `tail` lines end, plus one per attempt, as its first line may start before it."""
    remaining, parts, lines = max(tail * _TAIL_LINE, _TAIL_BYTES), max(tail * 2, _TAIL_PARTS), 0
    attempts: set[str] = set()
    before: int | None = None
    while True:
        with core.store.reading() as session:
            segments = rows.last_segments(
                session, experiments.find(session, ref).id, trial, _SEGMENTS_PER_QUERY, _MAX_BYTES, before
            )
        if not segments:
            return 0
        for segment, data in zip(segments, read_all(core.files, segments), strict=True):
            attempts.add(segment.attempt)
            before, remaining, parts, lines = segment.seq, remaining - len(data), parts - 1, lines + data.count(b"\n")
            if lines - len(attempts) >= tail or remaining <= 0 or parts <= 0:
                return before - 1


def end(core: Core, ref: str) -> int:
    """Return the cursor after the newest log segment."""
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
