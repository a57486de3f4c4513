"""In-memory state of the early stopping rules, rebuilt from rows."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import LearningCurve, Mark
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.domain.specification.metrics import Metric, Point
from orchestune.ports.pruner import Pruner
from orchestune.pruners import registry
from orchestune.services.memory.lru_cache import LruCache
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.pruning import ENDS, NEW_MARKS

_MAX_BOARDS = 500
_MAX_TRACKS = 20_000


@dataclass
class Track:
    """The curve of an attempt up to the last point processed."""

    curve: LearningCurve
    looked: float | None = None
    """last step at which the rule was evaluated"""
    counted: int = -1
    sent: int = -1
    """highest sequence numbers of points numbered by the worker, and of points reported by HTTP"""

    def take(self, point: Point, http: int) -> bool:
        """Add a point; return False if it is a duplicate.

        A gap in the worker's numbering stands for values that were not finite: they have no rows, so a track that is
        rebuilt from rows sees only the gap.
        """
        if point.sequence <= (self.sent if point.sequence >= http else self.counted):
            return False
        if point.sequence >= http:
            self.sent = point.sequence
        else:
            self.curve.pass_over(point.sequence - self.counted - 1)
            self.counted = point.sequence
        self.curve.add(point.value, point.step)
        return True


class Board:
    """The rule of one experiment, fed with all rows up to two cursors.

    Other replicas write rows too, so the holder of the experiment's lock calls `refresh` before each use.
    """

    def __init__(self, rule: EarlyStopping, row: ExperimentRow) -> None:
        self.rule = rule
        self._metrics = row.specification.metrics
        self.metric: Metric = registry.check(rule, self._metrics)
        self.tracks: LruCache[str, Track] = LruCache(_MAX_TRACKS)
        self._folds: dict[int, Pruner] = {}
        self._marks = self._ends = 0

    def pruner(self, fold: int) -> Pruner:
        """Return the pruner that compares the curves of one fold."""
        if fold not in self._folds:
            self._folds[fold] = registry.create(self.rule, self._metrics)
        return self._folds[fold]

    def refresh(self, session: Session, row: ExperimentRow) -> None:
        """Feed the rule with rows added since the last refresh."""
        for mark in session.rows(NEW_MARKS, {"experiment": row.id, "after": self._marks}):
            self.pruner(mark.fold).tell(Mark(mark.trial, mark.step, mark.loss, mark.best, mark.mean))
            self._marks = mark.seq
        if self._ends == row.history_seq:
            return
        for trial in session.rows(ENDS, {"experiment": row.id, "after": self._ends}):
            for pruner in self._folds.values():
                pruner.finish(trial.number, TrialState(trial.state))
            self._ends = trial.history_seq

    def keep(self, attempt: str, track: Track) -> None:
        """Cache the curve of an attempt; the least recently updated ones are evicted first."""
        self.tracks.keep(attempt, track)


class Boards:
    """Cache of the boards of this server process. Each is used under its experiment's lock; eviction is harmless."""

    def __init__(self) -> None:
        self._boards: LruCache[Hashable, tuple[EarlyStopping, Board]] = LruCache(_MAX_BOARDS)
        self._lock = threading.Lock()

    def of(self, row: ExperimentRow) -> Board | None:
        """Return the board of an experiment; None if it has no early stopping."""
        rule = row.specification.early_stopping
        if rule is None:
            return None
        with self._lock:
            entry = self._boards.get(row.cache_key)
            if entry is None or entry[0] != rule:
                entry = rule, Board(rule, row)
            return self._boards.keep(row.cache_key, entry)[1]

    def keep(self, rows: Iterable[ExperimentRow]) -> None:
        """Evict the boards of all other experiments, which are over."""
        with self._lock:
            for over in self._boards.keys() - {row.cache_key for row in rows}:
                del self._boards[over]

    def forget(self, row: ExperimentRow) -> None:
        """Evict the board after a rollback: it holds state of the transaction that was rolled back."""
        with self._lock:
            self._boards.pop(row.cache_key, None)
