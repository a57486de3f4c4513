"""Cached posterior estimates of the best trials of noisy searches.

The largest of many noisy values is mostly a lucky one. If results report their noise, a model of all results says which
trial has the best expected value; `best`, pages and stop rules show that trial. Exact values need no model.

Invariants and races:
- Models are fitted in the engines' process, so never inside a transaction: call `refresh` before one, `known` within.
- An entry belongs to a length of the history and a revision of the experiment. During a search an old entry is shown
  until the next fit, and fits pause for a multiple of their own duration: viewers cannot keep a core busy.
- The estimate of an experiment that is over is stored, once, under the lock of its row and only if the row is still the
  same one (`cache_key`: an import may have replaced it). So all servers and exports show the same trial.
- One thread fits; others keep the last estimate, or wait for the fit if the experiment is over.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Hashable, Sequence
from dataclasses import astuple, dataclass, replace

from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.engines.process import analyses
from orchestune.errors import OrchestuneError
from orchestune.services import read_history
from orchestune.services.memory.lru_cache import LruCache
from orchestune.services.memory.pareto import extended
from orchestune.store import estimates, experiments, trials
from orchestune.store.database import Store
from orchestune.store.estimates import EstimateRow
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.trials import IS_NOISY

log = logging.getLogger(__name__)

MIN_TRIALS = 10
"""completed trials below which no model is fitted"""
_MAX_RESULTS, _MAX_BEST = 500, 100
"""results given to the model: an evenly spaced selection, and additional best ones"""
_FIT_TIMEOUT_SECONDS = 10.0
"""timeout in seconds while another thread fits the model of a search that is over"""
_MAX_ENTRIES = 200
_NO_ESTIMATE = -1
"""history length that marks an experiment without an estimate in the store"""
_RECHECK_SECONDS = 10.0
"""seconds until the store is checked again, since another server may have written an estimate"""
_PAUSE_FACTOR = 10.0
"""pause between two fits of a running search, as a multiple of the duration of the last fit"""


@dataclass(frozen=True)
class IncumbentEstimate:
    """The incumbent by posterior mean, with mean and standard deviation of the first metric."""

    trial: int
    value: float
    stddev: float
    measured_value: float | None = None
    """mean at the configuration of the trial with the best measured value, and its standard deviation"""
    measured_stddev: float | None = None


def is_best_uncertain(session: Session, row: ExperimentRow) -> bool:
    """Return True if noise may hide a better trial than the one with the best value, as stop rules see it.

    An exact value that beats all noisy ones is certain. Of several metrics, `patience` looks at all, the other rules at
    the first one.
    """
    return noisy(session, row, 1 if row.specification.stop.patience is None else None)


def noisy(session: Session, row: ExperimentRow, first: int | None = None) -> bool:
    """Return True if the best trial reports the noise of an objective (of one of the `first` ones, if given)."""
    optimized = objectives(row.specification.metrics)[:first] if row.best_trial is not None else ()
    where = {"experiment": row.id, "trial": row.best_trial}  # a cheap query, since stop rules run it after every trial
    return any(session.row(IS_NOISY, where | {"name": metric.name}) is not None for metric in optimized)


@dataclass(frozen=True)
class Choice:
    """The best trial or trials according to a model."""

    estimate: IncumbentEstimate | None
    """None with several metrics"""
    front: Sequence[int]
    """Pareto front with several metrics"""

    @property
    def trials(self) -> Sequence[int]:
        """The numbers of the best trial or of the front."""
        return [self.estimate.trial] if self.estimate is not None else self.front


@dataclass(frozen=True)
class _Entry:
    estimate: IncumbentEstimate | None
    front: Sequence[int] | None
    version: tuple[int, int]
    again: float
    stored: bool = False
    """written to the store, for servers started later"""


def _is_due(entry: _Entry) -> bool:
    return time.monotonic() >= entry.again


class Estimates:
    """Cache of the estimates of viewed experiments. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)
        self._working: set[Hashable] = set()
        self._entries: LruCache[Hashable, _Entry] = LruCache(_MAX_ENTRIES)

    def known(self, session: Session, row: ExperimentRow) -> IncumbentEstimate | None:
        """Return the last estimate of `refresh`; None if the measured best trial stands, or with several metrics."""
        choice = self.of(session, [row]).get(row.id)
        return choice.estimate if choice is not None else None

    def of(self, session: Session, rows: Sequence[ExperimentRow]) -> dict[str, Choice]:
        """Return the known choices, including fronts, by experiment id.

        For absent experiments the measured best trials stand.
        """
        entries = {row.id: self._of(row) for row in rows}
        entries |= self._stored(session, [row for row in rows if entries[row.id] is None and row.state.over])
        return {
            experiment: Choice(each.estimate, each.front or ())
            for experiment, each in entries.items()
            if each is not None and (each.estimate is not None or each.front)
        }

    def is_current(self, row: ExperimentRow) -> bool:
        """Return True if `known` includes all results of the row."""
        entry = self._of(row)
        return entry is not None and entry.version[0] == row.history_seq

    def _of(self, row: ExperimentRow) -> _Entry | None:
        """Return the cache entry for the current revision; None if absent or to be read from the store again."""
        with self._lock:
            entry = self._entries.get(row.cache_key)
        if entry is None or entry.version[1] != row.revision or (entry.version[0] == _NO_ESTIMATE and _is_due(entry)):
            return None
        return entry

    def _stored(self, session: Session, rows: Sequence[ExperimentRow]) -> dict[str, _Entry]:
        """Load the estimates of experiments that are over, as written by this or another server, into the cache."""
        stored = estimates.of(session, [row.id for row in rows])
        entries = {row.id: self._from(stored.get(row.id), row) for row in rows}
        for row in rows:
            self._keep(row, entries[row.id])
        return entries

    @staticmethod
    def _from(stored: EstimateRow | None, row: ExperimentRow) -> _Entry:
        if stored is None or stored.revision != row.revision:
            return _Entry(None, None, (_NO_ESTIMATE, row.revision), time.monotonic() + _RECHECK_SECONDS)
        estimate = None
        if stored.trial is not None and stored.value is not None and stored.stddev is not None:
            estimate = IncumbentEstimate(
                stored.trial, stored.value, stored.stddev, stored.measured_value, stored.measured_stddev
            )
        front = json.loads(stored.front) if stored.front is not None else None
        return _Entry(estimate, front, (stored.history_seq, stored.revision), 0.0, stored=True)

    def _keep(self, row: ExperimentRow, entry: _Entry) -> None:
        with self._lock:
            self._entries.keep(row.cache_key, entry)

    def refresh(self, store: Store, row: ExperimentRow) -> None:
        """Update the estimate if results report their noise. Takes up to a second.

        No estimate is available if the engines' process has died. While another thread fits the model, callers keep the
        last estimate; if the experiment is over, they block until the fit is done or `_FIT_TIMEOUT_SECONDS` has passed.
        """
        version, now = (row.history_seq, row.revision), time.monotonic()
        if row.state.over and self._of(row) is None:
            with store.reading() as session:
                self._stored(session, [row])
        with self._lock:
            if row.state.over:
                self._done.wait_for(lambda: row.cache_key not in self._working, _FIT_TIMEOUT_SECONDS)
            entry = self._entries.get(row.cache_key)
            current = entry if entry is not None and entry.version == version else None
            if row.cache_key in self._working or (current is not None and (current.stored or not row.state.over)):
                return
            if entry is not None and entry.version[1] == row.revision and not _is_due(entry) and not row.state.over:
                return
            self._working.add(row.cache_key)
        estimate, front, stored = (None, None, False) if current is None else (current.estimate, current.front, False)
        try:
            if current is None:
                estimate, front = self._fit(store, row)
            if row.state.over and (estimate is not None or front is not None):
                with store.transaction() as session:
                    if experiments.lock(session, row.id).cache_key == row.cache_key:
                        estimates.put(session, row.id, version, astuple(estimate) if estimate else None, front)
            stored = row.state.over
        except OrchestuneError as error:
            log.warning("%s: showing the best measured trial, no estimate: %s", row.handle, error)
        finally:
            took = time.monotonic() - now
            self._keep(row, _Entry(estimate, front, version, now + (1 + _PAUSE_FACTOR) * took, stored))
            with self._lock:
                self._working.discard(row.cache_key)
                self._done.notify_all()

    def _fit(self, store: Store, row: ExperimentRow) -> tuple[IncumbentEstimate | None, Sequence[int] | None]:
        """Fit the best trial of one metric, or the front of several."""
        if len(objectives(row.specification.metrics)) > 1:
            return None, self._front(store, row)
        return self._estimate(store, row), None

    def of_the_first(self, store: Store, row: ExperimentRow) -> IncumbentEstimate | None:
        """Return the best trial by the first of several metrics, estimated like a single one. Not cached."""
        try:
            return self._estimate(store, row)
        except OrchestuneError as error:
            log.warning("%s: showing the best measured trial, no estimate: %s", row.handle, error)
            return None

    def _estimate(self, store: Store, row: ExperimentRow) -> IncumbentEstimate | None:
        specification = row.specification
        with store.reading() as session:
            if row.completed < MIN_TRIALS or not noisy(session, row, 1):
                return None
            history = _selection(session, row)
            if row.history_seq > _MAX_RESULTS:
                history += _others(read_history.best(session, row, _MAX_BEST), history)
        incumbent = analyses.best_estimate(specification.space, _first_alone(specification.metrics), history)
        return IncumbentEstimate(*incumbent) if incumbent else None

    def _front(self, store: Store, row: ExperimentRow) -> list[int] | None:
        specification = row.specification
        with store.reading() as session:
            if row.completed < MIN_TRIALS or not noisy(session, row):
                return None
            history = _selection(session, row)
            if row.history_seq > _MAX_RESULTS:
                names = [metric.name for metric in specification.metrics]
                raw = extended(specification.metrics, {}, trials.completed_values(session, row.id, names))
                history += _others(read_history.completed(session, row, raw[-_MAX_BEST:]), history)
        return analyses.expected_front(specification.space, specification.metrics, history)


def _first_alone(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the first metric, and those others that have limits, as constraints only."""
    return [metrics[0], *(replace(metric, optimized=False) for metric in metrics[1:] if metric.limit is not None)]


def _selection(session: Session, row: ExperimentRow) -> list[Observation]:
    return read_history.observations(session, row, 0, every=math.ceil(row.history_seq / _MAX_RESULTS))


def _others(some: list[Observation], history: list[Observation]) -> list[Observation]:
    numbers = {observation.number for observation in history}
    return [each for each in some if each.number not in numbers]
