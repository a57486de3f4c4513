"""Moves what is finished out of the way: long logs into files, files that nothing names into nowhere."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import TypeVar

from orchestune.controllers.each import each
from orchestune.errors import StoreUnavailable
from orchestune.ports.files import Away
from orchestune.services import bests, estimates
from orchestune.services.core import Core
from orchestune.services.read_trials import blob_key
from orchestune.store import artifacts, blobs, experiments, logs, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.logs import MovedSegment
from orchestune.store.session import Session

log = logging.getLogger(__name__)

INLINE_BYTES = 64 * 1024
"""logs up to this size stay in their rows: thousands of tiny files would help nobody"""
ORPHAN_SECONDS = 3600.0
EVERY_SECONDS = 30.0
REST = 50.0
"""times as long as it took to look for what there is to do passes until the next look, where that is more: with very
many trials it goes through all of them
"""
_LOGS = 1000
"""that are moved after one look"""
UPLOAD_SECONDS = 86_400.0
"""how long an upload may rest: its worker, if it is there, begins anew after that"""
SWEEP_SECONDS = 6 * 3600.0
WHILE_NOISY = 20
"""trials that keep their files while it is not known which one is the best"""

_T = TypeVar("_T")


class Archiving:
    """Runs rarely; everything it does may be repeated or cut off anywhere."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = core.clock.monotonic() + EVERY_SECONDS
        self._sweep = self._next
        self._looked = 0.0
        """seconds that the looks of this time took"""
        self._retained_at: dict[tuple[str, float | None], int] = {}
        """experiment → its last event when what is not the best went, if anything has to; it has not changed since"""

    def tick(self) -> None:
        """Do a little, now and then."""
        if self._core.clock.monotonic() < self._next:
            return
        self._looked = 0.0
        try:
            each((self.retain_artifacts, self.move_logs, self.drop_orphans, self._drop_uploads))
        finally:
            self._next = self._core.clock.monotonic() + max(EVERY_SECONDS, REST * self._looked)

    def _look(self, for_what: Callable[[Session], _T]) -> _T:
        began = self._core.clock.monotonic()
        with self._core.store.reading() as session:
            found = for_what(session)
        self._looked += self._core.clock.monotonic() - began
        return found

    def move_logs(self) -> None:
        """Long logs of finished attempts become one object each."""
        attempts = self._look(lambda session: logs.to_move(session, _LOGS, INLINE_BYTES))
        each(partial(self._move_log, attempt) for attempt in attempts)

    def _move_log(self, attempt: str) -> None:
        with self._core.store.reading() as session:
            segments = logs.inline_segments(session, attempt)
        if not segments:
            return
        first, data = segments[0], b"".join(segment.data or b"" for segment in segments)
        # its length too: where an earlier try was cut off, an object that is shorter may be there, and stays
        key = f"{logs.prefix(first.experiment)}{attempt}-{first.offset}-{len(data)}"
        self._core.files.put(key, io.BytesIO(data))
        starts = accumulate((segment.length for segment in segments), initial=0)
        moved = [MovedSegment(each.experiment, each.seq, start) for each, start in zip(segments, starts, strict=False)]
        with self._core.store.transaction() as session:
            logs.moved(session, key, moved)

    def _drop_uploads(self) -> None:
        if self._core.clock.monotonic() >= self._sweep:
            self._core.files.sweep(UPLOAD_SECONDS)
            self._sweep = self._core.clock.monotonic() + SWEEP_SECONDS

    def retain_artifacts(self) -> None:
        """`keep.best`: the artifacts of other trials go.

        What `best` shows stays in any case. While a noisy search goes on, that may become any of the good ones.
        """
        found = self._look(experiments.with_artifacts)
        self._retained_at = {name: at for name, at in self._retained_at.items() if found.get(name) == at}
        for experiment, _ in [name for name in found if name not in self._retained_at]:
            with self._core.store.reading() as session:
                rows = experiments.of_ids(session, [experiment])
            for row in rows:  # none where it was purged meanwhile
                self._retain(row)

    def _retain(self, row: ExperimentRow) -> None:
        if not row.specification.keep.best:
            self._retained_at[row.kept_as] = row.event_seq
            return
        self._core.estimates.refresh(self._core.store, row)
        with self._core.store.transaction() as session:
            row = experiments.lock(session, row.id)
            artifacts.drop(session, row.id, self._retained(session, row))
        if self._core.estimates.fresh(row):
            self._retained_at[row.kept_as] = row.event_seq

    def _retained(self, session: Session, row: ExperimentRow) -> set[int]:
        count = row.specification.keep.best or 1
        kept = set(bests.numbers(self._core, session, row))
        if not row.state.over and estimates.noisy(session, row):
            count = max(count, WHILE_NOISY)
            kept.update(bests.measured(session, row))
        others = trials.best_numbers(session, row.id, row.specification.metrics, count)
        return kept.union([number for number in others if number not in kept][: max(0, count - len(kept))])

    def drop_orphans(self) -> None:
        """Delete blobs that nothing names any more. A row goes after its bytes: those that cannot be deleted are tried
        again, and are there meanwhile for whoever needs the same ones.
        """
        limit = self._core.clock.now() - ORPHAN_SECONDS
        orphans = self._look(lambda session: blobs.unreferenced(session, limit))
        each(partial(self._drop_orphan, digest, limit) for digest in orphans)

    def _drop_orphan(self, digest: str, limit: float) -> None:
        with self._core.store.transaction() as session:
            ours = blobs.let_go(session, digest, limit)
        if ours:
            self._delete(digest)
            log.info("dropped the file %s, which nothing names any more", digest)

    def _delete(self, digest: str) -> None:
        key, files = blob_key(digest), self._core.files
        try:
            files.delete(key)
        except Away:
            raise  # whether the bytes are there would be asked in vain
        except StoreUnavailable:
            if files.size(key) is not None:
                with self._core.store.transaction() as session:
                    blobs.keep(session, digest)
                raise
        with self._core.store.transaction() as session:
            blobs.drop(session, digest)
