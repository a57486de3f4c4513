"""Garbage collection: deletes unreferenced files and old uploads, and moves long logs into compressed objects."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from orchestune.controllers import log_objects
from orchestune.controllers.isolated_jobs import each
from orchestune.errors import StoreUnavailable
from orchestune.ports.files import FileStoreUnreachable
from orchestune.services.bundles import blob_key
from orchestune.services.core import Core
from orchestune.services.memory import estimates
from orchestune.services.queries import best_trials
from orchestune.store import artifacts, blobs, experiment_lists, experiments, logs, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

log = logging.getLogger(__name__)

INLINE_BYTES = 64 * 1024
"""logs up to this size stay in their rows: thousands of tiny objects would gain nothing"""
ORPHAN_SECONDS = 3600.0
EVERY_SECONDS = 30.0
SCAN_PAUSE_FACTOR = 50.0
"""the next scan starts at least 50x the last scan's duration later: with very many trials a scan reads all of them, and
may take at most 2 % of the time
"""
_MAX_LOGS = 1000
"""maximum number of logs moved per scan"""
UPLOAD_SECONDS = 86_400.0
"""age at which an unfinished upload is deleted; a worker that is still alive restarts the upload"""
SWEEP_SECONDS = 6 * 3600.0
WHILE_NOISY = 20
"""trials that keep their files while noise leaves open which one is the best"""

_T = TypeVar("_T")


class GarbageCollection:
    """Runs rarely; every step is idempotent and may be interrupted anywhere."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = core.clock.monotonic() + EVERY_SECONDS
        self._sweep = self._next
        self._compress_at = self._next
        self._looked = 0.0
        """seconds spent on the scans of this run"""
        self._retained_at: dict[tuple[str, float | None], int] = {}
        """experiment → number of its last event when retention was applied; unchanged experiments are skipped"""

    def tick(self) -> None:
        """Run all steps if the interval has passed."""
        if self._core.clock.monotonic() < self._next:
            return
        self._looked = 0.0
        try:
            each((self.retain_artifacts, self.move_logs, self._compress_logs, self.drop_orphans, self._drop_uploads))
        finally:
            self._next = self._core.clock.monotonic() + max(EVERY_SECONDS, SCAN_PAUSE_FACTOR * self._looked)

    def _look(self, query: Callable[[Session], _T]) -> _T:
        began = self._core.clock.monotonic()
        with self._core.store.reading() as session:
            records = query(session)
        self._looked += self._core.clock.monotonic() - began
        return records

    def move_logs(self) -> None:
        """Move each long log of a finished attempt into one compressed object."""
        attempts = self._look(lambda session: logs.to_move(session, _MAX_LOGS, INLINE_BYTES))
        each(partial(log_objects.move, self._core, attempt) for attempt in attempts)

    def _compress_logs(self) -> None:
        """Compress the logs that a server of an earlier version moved."""
        if (now := self._core.clock.monotonic()) >= self._compress_at:
            self._compress_at = now + SWEEP_SECONDS  # set first: an object that cannot be read is not retried each time
            each(partial(log_objects.compress, self._core, key) for key in log_objects.uncompressed(self._core))

    def _drop_uploads(self) -> None:
        if self._core.clock.monotonic() >= self._sweep:
            self._core.files.sweep(UPLOAD_SECONDS)
            self._sweep = self._core.clock.monotonic() + SWEEP_SECONDS

    def retain_artifacts(self) -> None:
        """Delete the artifacts of trials beyond `keep.best`.

        Trials that `best` shows are always kept. While a noisy search runs, any of the good trials may become the best
        one, so at least `WHILE_NOISY` of them are kept.
        """
        last_events = self._look(experiment_lists.with_artifacts)
        self._retained_at = {name: at for name, at in self._retained_at.items() if last_events.get(name) == at}
        each(partial(self._retain_of, name[0]) for name in last_events if name not in self._retained_at)

    def _retain_of(self, experiment: str) -> None:
        with self._core.store.reading() as session:
            rows = experiment_lists.of_ids(session, [experiment])
        for row in rows:  # empty if it was purged meanwhile
            self._retain(row)

    def _retain(self, row: ExperimentRow) -> None:
        if not row.specification.keep.best:
            self._retained_at[row.cache_key] = row.event_seq
            return
        self._core.estimates.refresh(self._core.store, row)
        with self._core.store.transaction() as session:
            row = experiments.lock(session, row.id)
            artifacts.drop(session, row.id, self._retained(session, row))
        if self._core.estimates.is_current(row):
            self._retained_at[row.cache_key] = row.event_seq

    def _retained(self, session: Session, row: ExperimentRow) -> set[int]:
        count = row.specification.keep.best or 1
        retained = set(best_trials.numbers(self._core, session, row))
        if not row.state.over and estimates.noisy(session, row):
            count = max(count, WHILE_NOISY)
            retained.update(best_trials.measured(session, row))
        others = trials.best_numbers(session, row.id, row.specification.metrics, count)
        return retained.union([number for number in others if number not in retained][: max(0, count - len(retained))])

    def drop_orphans(self) -> None:
        """Delete unreferenced blobs.

        A row is deleted after its bytes: if deleting fails, it is retried later, and the blob can be referenced again
        meanwhile.
        """
        limit = self._core.clock.now() - ORPHAN_SECONDS
        orphans = self._look(lambda session: blobs.unreferenced(session, limit))
        each(partial(self._drop_orphan, digest, limit) for digest in orphans)

    def _drop_orphan(self, digest: str, limit: float) -> None:
        with self._core.store.transaction() as session:
            ours = blobs.claim_for_deletion(session, digest, limit)
        if ours:
            self._delete(digest)
            log.info("deleted the unreferenced file %s", digest)

    def _delete(self, digest: str) -> None:
        key, files = blob_key(digest), self._core.files
        try:
            files.delete(key)
        except FileStoreUnreachable:
            raise  # the file store is unreachable: checking if the bytes exist would fail, too
        except StoreUnavailable:
            if files.size(key) is not None:
                with self._core.store.transaction() as session:
                    blobs.keep(session, digest)
                raise
        with self._core.store.transaction() as session:
            blobs.drop(session, digest)
