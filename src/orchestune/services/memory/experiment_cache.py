"""In-memory cache of the experiments that clients view, updated incrementally. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestune import documents
from orchestune.services.memory.lru_cache import LruCache
from orchestune.store import attempts, experiments
from orchestune.store import trials as rows
from orchestune.store.database import Store
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.history import FinishedColumns

if TYPE_CHECKING:  # they import NumPy, which a server does not need to start its first experiment
    from orchestune.services.memory.attempt_statistics import BusyIntervals, TrialTotals
    from orchestune.services.memory.trial_columns import TrialColumns

_PAGE_TRIALS = 2000
"""Trials read per query; larger pages are slower (measured: 10,000 takes a quarter longer)."""
_PAGE_VALUES = 500_000
"""Metrics read per query, unless one trial has more: each takes about 150 bytes meanwhile."""
_MAX_ENTRIES = 8
"""Experiments kept in the cache."""


@dataclass
class _Entry:
    """Cache entry of one experiment."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    done: TrialColumns | None = None
    """Finished trials."""
    all: TrialColumns | None = None
    """Finished and unfinished trials."""
    version: tuple[int, int] | None = None
    """Version of `all`: the experiment's last event and its revision."""
    tally: TrialTotals | None = None


class ExperimentCache:
    """Cache of the trials by columns and of the tally of attempts, per experiment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: LruCache[Hashable, _Entry] = LruCache(_MAX_ENTRIES)

    def columns(self, store: Store, ref: str) -> tuple[ExperimentRow, TrialColumns]:
        """Return the experiment and its trials by columns."""
        from orchestune.services.memory.trial_columns import TrialColumns

        with self._turn(store, ref) as (session, row, entry):
            version = row.event_seq, row.revision
            if entry.all is None or entry.version != version:
                if entry.done is None or entry.version is None or entry.version[1] != row.revision:
                    entry.done = TrialColumns(row)
                entry.all, entry.version = _read_on(session, row, entry.done), version
            return row, entry.all

    def attempts(self, store: Store, ref: str) -> tuple[BusyIntervals, list[documents.Failures]]:
        """Return when attempts ran, and the failure reasons of trials."""
        from orchestune.services.memory.attempt_statistics import TrialTotals

        with self._turn(store, ref) as (session, row, entry):
            entry.tally = entry.tally or TrialTotals()
            return entry.tally.read(session, row), entry.tally.failures(session, row)

    @contextmanager
    def _turn(self, store: Store, ref: str) -> Iterator[tuple[Session, ExperimentRow, _Entry]]:
        """Hold the lock of the experiment's cache entry, with a session opened after it was acquired.

        So no thread continues from an entry newer than its own snapshot of the store, and two threads do not scan the
        same rows, which together takes twice as long.
        """
        with store.reading() as session:
            experiment = experiments.find(session, ref)
        with self._lock:
            entry = self._entries.keep(experiment.cache_key, self._entries.get(experiment.cache_key) or _Entry())
        with entry.turn, store.reading() as session:
            yield session, experiments.find(session, experiment.id), entry


def _read_on(session: Session, row: ExperimentRow, done: TrialColumns) -> TrialColumns:
    """Append the trials that have finished since to `done`; return a view that also has the unfinished trials."""
    while (finished := _page(session, row.id, done.read_up_to)).number:
        last = finished.history_seq[-1]
        values = rows.values_between(session, row.id, done.read_up_to, last)
        done.add(finished, values, attempts.ran_between(session, row.id, done.read_up_to, last))
        done.read_up_to = last
    unfinished = rows.without_history(session, row.id)
    values = rows.values_of(session, row.id, unfinished.number)
    return done.with_open(unfinished, values, attempts.open_ran(session, row.id))


def _page(session: Session, experiment: str, after: int) -> FinishedColumns:
    """Return the next finished trials, fewer if they have very many metrics."""
    page = rows.finished_after(session, experiment, after, _PAGE_TRIALS)
    count = rows.count_values(session, experiment, after, page.history_seq[-1]) if page.number else 0
    if count <= _PAGE_VALUES:
        return page
    return rows.finished_after(session, experiment, after, max(len(page.number) * _PAGE_VALUES // count, 1))
