"""Compressed objects with the logs of finished attempts, of which the rows then only know the place.

A crash between any two steps loses nothing: rows name an object only after it is complete, and an object is deleted
only after no row names it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from itertools import accumulate

from orchestune.files import gzip_blocks
from orchestune.services.core import Core
from orchestune.store import logs
from orchestune.store.log_compression import unpacked
from orchestune.store.logs import MovedSegment, SegmentRow

_MAX_SEGMENTS = 50_000  # moved into one object at most: they are in memory meanwhile, with about 600 bytes each


def move(core: Core, attempt: str) -> None:
    """Move the segments of an attempt from their rows into an object. Idempotent."""
    with core.store.reading() as session:
        segments = logs.inline_segments(session, attempt, _MAX_SEGMENTS)
    if not segments:
        return
    first, content = segments[0], b"".join(unpacked(each.data, each.length) for each in segments)
    starts = list(accumulate((segment.length for segment in segments), initial=0))
    _store(core, logs.object_key(attempt, first.experiment, first.offset, len(content)), content, segments, starts)


def uncompressed(core: Core) -> list[str]:
    """Return the keys of the log objects that an earlier version wrote uncompressed. Lists all log objects."""
    return [key for key in core.files.keys(logs.ALL_OBJECTS) if not key.endswith(gzip_blocks.SUFFIX)]


def compress(core: Core, key: str) -> None:
    """Replace an uncompressed log object by a compressed one. Idempotent.

    A reader that has read the rows before finds the new object by the old key. An object that no row names and that has
    no compressed form stays until its experiment is purged: a server of an earlier version may be about to name it.
    """
    experiment = logs.experiment_of(key)
    with core.store.reading() as session:
        segments = logs.segments_of_object(session, experiment, key)
    if segments:
        with core.files.open(key) as file:
            content = file.read()
        _store(core, key, content, segments, [each.object_offset or 0 for each in segments])
    if any(True for _ in core.files.keys(logs.converted_prefix(key))):
        core.files.delete(key)


def _store(core: Core, name: str, content: bytes, segments: Sequence[SegmentRow], starts: Sequence[int]) -> None:
    """Write an object, and then the places of the segments that start at these bytes of its content."""
    compressed = gzip_blocks.compress(content)
    # Another version of zlib may have compressed the same content otherwise, with other virtual offsets.
    digest = hashlib.sha256(compressed.data).hexdigest()[:16]
    key = f"{logs.converted_prefix(name)}{digest}{gzip_blocks.SUFFIX}"
    core.files.put(key, io.BytesIO(compressed.data))
    moved = [
        MovedSegment(each.experiment, each.seq, compressed.virtual_offset(start))
        for each, start in zip(segments, starts, strict=False)
    ]
    with core.store.transaction() as session:
        logs.moved(session, key, moved)
