"""Logs as the API shows them: segments in the order in which they arrived."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from orchestune.errors import BadInput, NotFound
from orchestune.services.core import Core
from orchestune.services.read_experiments import Document, rfc3339
from orchestune.store import experiments
from orchestune.store import logs as rows

_TAIL_LINE = 400
"""bytes that a line is assumed to have at most when looking for where a tail starts"""


def logs(
    core: Core,
    ref: str,
    after: int,
    limit: int,
    trial: int | None = None,
    since: str | None = None,
    tail: int | None = None,
) -> Document:
    """A page of `LogChunk`s, the cursor to go on from, and whether it, or the `trial`, is over and all was read.

    `tail` starts near the end, so that about that many lines follow (never fewer, where there are as many); the
    reader cuts. It counts for the first page only: later ones say `after`.
    """
    start = _time(since)
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        if tail is not None and after == 0:
            wanted = tail * _TAIL_LINE
            for segment in rows.last_segments(session, experiment.id, trial, max(tail, 1) * 2):
                after, wanted = segment.seq - 1, wanted - segment.length
                if wanted <= 0:
                    break
        found = rows.segments_after(session, experiment.id, after, limit, trial, start)
        over = experiment.state.over or (trial is not None and rows.ended(session, experiment.id, trial))
    several = experiment.specification.folds.count > 1
    items = [_chunk(core, row, several) for row in found]
    last = found[-1].seq if len(found) == limit else max(after, experiment.log_seq)
    return {"items": items, "next": last, "over": over and len(found) < limit}


def end(core: Core, ref: str) -> int:
    """The cursor behind all that was printed so far."""
    with core.store.reading() as session:
        return experiments.find(session, ref).log_seq


def read_segment(core: Core, row: Row[Any]) -> bytes:
    """The bytes of a segment, wherever they lie."""
    if row.data is not None:
        return bytes(row.data)
    try:
        stream = core.files.open(row.object)
    except NotFound:
        return lost(row.length)
    with stream:
        if row.object_offset:
            stream.seek(row.object_offset) if stream.seekable() else stream.read(row.object_offset)
        return stream.read(row.length)


def lost(length: int) -> bytes:
    """What stands for a part of a log whose object somebody removed: the rest of the log is worth reading."""
    return f"orchestune: {length:,} bytes of this log are no longer where the server keeps files\n".encode()


def _chunk(core: Core, row: Row[Any], several: bool) -> Document:
    return {
        "cursor": row.seq,
        "trial": row.trial,
        "fold": row.fold if several else None,
        "attempt": row.attempt,
        "number": row.token,
        "worker": row.worker_name,
        "at": rfc3339(row.at),
        "offset": row.offset,
        "text": read_segment(core, row).decode("utf-8", "replace"),
        "gap": row.gap,
        "last": row.log_bytes is not None and row.offset + row.length >= row.log_bytes,
    }


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadInput.one(f"'{text}' is no time; write it as 2026-01-31T12:00:00Z", key="since") from None
