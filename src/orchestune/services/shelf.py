"""What is kept in memory of the experiments that somebody looks at, read on from where it was. Any thread."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestune import documents
from orchestune.services.columns import Columns
from orchestune.services.recent import Latest
from orchestune.services.tally import Busy, Tally
from orchestune.store import attempts, experiments
from orchestune.store import trials as rows
from orchestune.store.database import Store
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_PAGE = 2000
"""trials that are read at once; with more at a time it takes longer (measured: 10,000 a quarter)"""
_KEPT = 8
"""experiments that stay in memory"""


@dataclass
class _Kept:
    """One experiment."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    done: Columns | None = None
    """its finished trials"""
    all: Columns | None = None
    version: tuple[int, int] | None = None
    """of what is in `all`"""
    tally: Tally = field(default_factory=Tally)


class Shelf:
    """Of each experiment its trials by columns, and a tally of its attempts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Latest[Hashable, _Kept] = Latest(_KEPT)

    def columns(self, store: Store, ref: str) -> tuple[ExperimentRow, Columns]:
        """The experiment and its trials."""
        with self._turn(store, ref) as (session, row, kept):
            version = row.event_seq, row.revision
            if kept.all is None or kept.version != version:
                if kept.done is None or kept.version is None or kept.version[1] != row.revision:
                    kept.done = Columns(row)
                kept.all, kept.version = _read_on(session, row, kept.done), version
            return row, kept.all

    def attempts(self, store: Store, ref: str) -> tuple[Busy, list[documents.Failures]]:
        """Return when attempts ran, and the reasons of failed trials."""
        with self._turn(store, ref) as (session, row, kept):
            return kept.tally.read(session, row), kept.tally.failures()

    @contextmanager
    def _turn(self, store: Store, ref: str) -> Iterator[tuple[Session, ExperimentRow, _Kept]]:
        """One at a time for each experiment: nobody reads on from what is newer than his own view of the store, and two
        threads that both go through many rows take twice as long together.
        """
        with store.reading() as session:
            found = experiments.find(session, ref)
        with self._lock:
            kept = self._kept.keep(found.kept_as, self._kept.get(found.kept_as) or _Kept())
        with kept.turn, store.reading() as session:
            yield session, experiments.find(session, found.id), kept


def _read_on(session: Session, row: ExperimentRow, done: Columns) -> Columns:
    """Add to `done` what has finished since; with the trials that are not over."""
    while (finished := rows.finished_after(session, row.id, done.told, _PAGE)).number:
        last = finished.history_seq[-1]
        values = rows.values_between(session, row.id, done.told, last)
        done.add(finished, values, attempts.ran_between(session, row.id, done.told, last))
        done.told = last
    unfinished = rows.without_history(session, row.id)
    values = rows.values_of(session, row.id, unfinished.number)
    return done.with_open(unfinished, values, attempts.open_ran(session, row.id))
