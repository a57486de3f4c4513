"""In-memory state of the early stopping rules, rebuilt from rows."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import LearningCurve, PrunerObservation
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.domain.specification.metrics import FIRST_HTTP_SEQUENCE, Metric, Point
from orchestune.ports.pruner import Pruner
from orchestune.pruners import registry
from orchestune.services.memory.lru_cache import LruCache
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.pruning import ENDS, NEW_OBSERVATIONS

_MAX_EXPERIMENTS = 500
_MAX_CURVES = 20_000


@dataclass
class TrackedCurve:
    """The curve of an attempt up to the last point processed."""

    curve: LearningCurve
    last_decision: float | None = None
    """last step at which the pruner evaluated the trial"""
    worker_sequence: int = -1
    """highest sequence number that the worker has assigned; points reported by HTTP have a range of their own"""
    http_sequence: int = -1

    def add(self, point: Point) -> bool:
        """Add a point; return False if it is a duplicate.

        A gap in the worker's numbering stands for values that were not finite: they have no rows, so a curve that is
        rebuilt from rows sees only the gap.
        """
        by_http = point.sequence >= FIRST_HTTP_SEQUENCE
        if point.sequence <= (self.http_sequence if by_http else self.worker_sequence):
            return False
        if by_http:
            self.http_sequence = point.sequence
        else:
            self.curve.pass_over(point.sequence - self.worker_sequence - 1)
            self.worker_sequence = point.sequence
        self.curve.add(point.value, point.step)
        return True


class ExperimentPruners:
    """The early stopping rule of one experiment, fed with all rows up to two cursors; each fold has its own pruner.

    Other replicas write rows too, so the holder of the experiment's lock calls `refresh` before each use.
    """

    def __init__(self, rule: EarlyStopping, row: ExperimentRow) -> None:
        self.rule = rule
        self._metrics = row.specification.metrics
        self.metric: Metric = registry.check(rule, self._metrics)
        self.curves: LruCache[str, TrackedCurve] = LruCache(_MAX_CURVES)
        self._by_fold: dict[int, Pruner] = {}
        self._last_observation = self._last_end = 0

    def of_fold(self, fold: int) -> Pruner:
        """Return the pruner that compares the curves of one fold."""
        if fold not in self._by_fold:
            self._by_fold[fold] = registry.create(self.rule, self._metrics)
        return self._by_fold[fold]

    def refresh(self, session: Session, row: ExperimentRow) -> None:
        """Feed the rule with rows added since the last refresh."""
        for stored in session.rows(NEW_OBSERVATIONS, {"experiment": row.id, "after": self._last_observation}):
            observation = PrunerObservation(stored.trial, stored.step, stored.loss, stored.best, stored.mean)
            self.of_fold(stored.fold).tell(observation)
            self._last_observation = stored.seq
        if self._last_end == row.history_seq:
            return
        for trial in session.rows(ENDS, {"experiment": row.id, "after": self._last_end}):
            for pruner in self._by_fold.values():
                pruner.finish(trial.number, TrialState(trial.state))
            self._last_end = trial.history_seq

    def keep(self, attempt: str, tracked: TrackedCurve) -> None:
        """Cache the curve of an attempt; the least recently updated ones are evicted first."""
        self.curves.keep(attempt, tracked)


class PrunerCache:
    """The pruners of each experiment. They are used under the experiment's lock; eviction is harmless."""

    def __init__(self) -> None:
        self._pruners: LruCache[Hashable, tuple[EarlyStopping, ExperimentPruners]] = LruCache(_MAX_EXPERIMENTS)
        self._lock = threading.Lock()

    def of(self, row: ExperimentRow) -> ExperimentPruners | None:
        """Return the pruners of an experiment; None if it has no early stopping."""
        rule = row.specification.early_stopping
        if rule is None:
            return None
        with self._lock:
            entry = self._pruners.get(row.cache_key)
            if entry is None or entry[0] != rule:
                entry = rule, ExperimentPruners(rule, row)
            return self._pruners.keep(row.cache_key, entry)[1]

    def keep(self, rows: Iterable[ExperimentRow]) -> None:
        """Evict the pruners of all other experiments, which are over."""
        with self._lock:
            for over in self._pruners.keys() - {row.cache_key for row in rows}:
                del self._pruners[over]

    def forget(self, row: ExperimentRow) -> None:
        """Evict the pruners after a rollback: they hold state of the transaction that was rolled back."""
        with self._lock:
            self._pruners.pop(row.cache_key, None)
