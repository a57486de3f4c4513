"""Moves what is finished out of the way: long logs into files, files that nothing names into nowhere."""

from __future__ import annotations

import io
import logging
from itertools import accumulate

from orchestune.services.core import Core
from orchestune.services.read_trials import blob_key
from orchestune.store import experiments, logs, records, trials

log = logging.getLogger(__name__)

INLINE_BYTES = 64 * 1024
"""logs up to this size stay in their rows: thousands of tiny files would help nobody"""
ORPHAN_SECONDS = 3600.0
EVERY_SECONDS = 30.0


class Archiving:
    """Runs rarely; everything it does may be repeated or cut off anywhere."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = core.clock.monotonic() + EVERY_SECONDS

    def tick(self) -> None:
        """Do a little, now and then."""
        if self._core.clock.monotonic() < self._next:
            return
        self._next = self._core.clock.monotonic() + EVERY_SECONDS
        self.move_logs()
        self.retain_artifacts()
        self.drop_orphans()

    def move_logs(self) -> None:
        """Long logs of finished attempts become one object each."""
        with self._core.store.reading() as session:
            attempts = logs.to_move(session, 100, INLINE_BYTES)
        for attempt in attempts:
            with self._core.store.reading() as session:
                segments = logs.inline_segments(session, attempt)
            if not segments:
                continue
            key = f"{records.log_prefix(segments[0].experiment)}{attempt}-{segments[0].offset}"
            self._core.files.put(key, io.BytesIO(b"".join(bytes(segment.data) for segment in segments)))
            starts = accumulate((segment.length for segment in segments), initial=0)
            places = [
                (segment.experiment, segment.seq, start) for segment, start in zip(segments, starts, strict=False)
            ]
            with self._core.store.transaction() as session:
                logs.moved(session, key, places)

    def retain_artifacts(self) -> None:
        """`keep.best`: the artifacts of other trials go."""
        with self._core.store.reading() as session:
            rows = [row for row in experiments.with_artifacts(session) if row.specification.keep.best]
        for row in rows:
            with self._core.store.transaction() as session:
                best = row.specification.keep.best or 1
                kept = set(trials.best_numbers(session, row.id, row.specification.objective, best))
                trials.drop_artifacts(session, row.id, kept)

    def drop_orphans(self) -> None:
        """Delete blobs that nothing names any more."""
        with self._core.store.transaction() as session:
            orphans = records.unreferenced_blobs(session, session.now - ORPHAN_SECONDS)
            for digest in orphans:
                records.drop_blob(session, digest)
        for digest in orphans:
            self._core.files.delete(blob_key(digest))
            log.info("dropped the file %s, which nothing names any more", digest)
