"""Logs as the API shows them: segments in the order in which they arrived."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from orchestune.errors import BadInput
from orchestune.services.core import Core
from orchestune.services.log_bytes import read_all
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
    data = read_all(core.files, [row._asdict() for row in found])
    items = [_chunk(row, text, several) for row, text in zip(found, data, strict=True)]
    last = found[-1].seq if len(found) == limit else max(after, experiment.log_seq)
    return {"items": items, "next": last, "over": over and len(found) < limit}


def end(core: Core, ref: str) -> int:
    """The cursor behind all that was printed so far."""
    with core.store.reading() as session:
        return experiments.find(session, ref).log_seq


def _chunk(row: Row[Any], data: bytes, several: bool) -> Document:
    return {
        "cursor": row.seq,
        "trial": row.trial,
        "fold": row.fold if several else None,
        "attempt": row.attempt,
        "number": row.token,
        "worker": row.worker_name,
        "at": rfc3339(row.at),
        "offset": row.offset,
        "text": data.decode("utf-8", "replace"),
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
