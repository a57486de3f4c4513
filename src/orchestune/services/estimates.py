"""What a model expects of the best trials of noisy searches, kept: who looks again pays nothing.

The model is made in the engines' process, so never inside a transaction: `refresh` before one, `known` within.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Hashable, Sequence
from dataclasses import astuple, dataclass, replace

from orchestune.domain.metrics import Metric, objectives, pareto_front
from orchestune.domain.trial import Observation
from orchestune.engines import analyses
from orchestune.errors import OrchestuneError
from orchestune.services import read_history
from orchestune.services.recent import Latest
from orchestune.store import estimates, experiments, hot, trials
from orchestune.store.database import Store
from orchestune.store.estimates import EstimateRow
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

log = logging.getLogger(__name__)

LEAST = 10
"""completed trials below which no model is asked"""
_MOST, _BEST = 500, 100
"""results that the model chooses from: an even selection, and so many of the best"""
_PATIENCE = 10.0
"""seconds that are waited for a model that somebody else has made of a search that is over"""
_KEPT = 200
_NOTHING = -1
"""the length of a history of which the store has no estimate"""
_LOOK_AGAIN = 10.0
"""seconds after which another server may have stored one"""
_REST = 10.0
"""times what a model took, until a search that goes on is given another one"""


@dataclass(frozen=True)
class Estimate:
    """The trial that is best by its expected value, and that value of the first metric with its standard deviation."""

    trial: int
    value: float
    stddev: float


def unsure(session: Session, row: ExperimentRow) -> bool:
    """Whether the trial with the best value may not be the best: an exact value that beats all noisy ones is.

    As stop rules see it: of several metrics `patience` looks at each, the others at the first one.
    """
    return noisy(session, row, 1 if row.specification.stop.patience is None else None)


def noisy(session: Session, row: ExperimentRow, first: int | None = None) -> bool:
    """Whether the best trial says how noisy a metric is that is optimized, or one of so many `first` of them."""
    optimized = objectives(row.specification.metrics)[:first] if row.best_trial is not None else ()
    where = {"experiment": row.id, "trial": row.best_trial}  # stop rules ask after every trial
    return any(session.row(hot.IS_NOISY, where | {"name": metric.name}) is not None for metric in optimized)


@dataclass(frozen=True)
class Choice:
    """What a model chose."""

    estimate: Estimate | None
    """None of several metrics"""
    front: Sequence[int]
    """of several metrics"""

    @property
    def trials(self) -> Sequence[int]:
        """The best one, or the front."""
        return [self.estimate.trial] if self.estimate is not None else self.front


@dataclass(frozen=True)
class _Kept:
    found: Estimate | None
    front: Sequence[int] | None
    version: tuple[int, int]
    again: float
    stored: bool = False
    """so that a server that begins later knows it"""


def _past(kept: _Kept) -> bool:
    return time.monotonic() >= kept.again


class Estimates:
    """Of the experiments that somebody looks at. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)
        self._working: set[Hashable] = set()
        self._kept: Latest[Hashable, _Kept] = Latest(_KEPT)

    def known(self, session: Session, row: ExperimentRow) -> Estimate | None:
        """What `refresh` found last; None where the raw best one stands, or there are several metrics."""
        choice = self.of(session, [row]).get(row.id)
        return choice.estimate if choice is not None else None

    def of(self, session: Session, rows: Sequence[ExperimentRow]) -> dict[str, Choice]:
        """The same of many experiments, by their ids, and the fronts of several metrics. Where there is none, the raw
        one stands.
        """
        kept = {row.id: self._of(row) for row in rows}
        kept |= self._stored(session, [row for row in rows if kept[row.id] is None and row.state.over])
        return {
            experiment: Choice(each.found, each.front or ())
            for experiment, each in kept.items()
            if each is not None and (each.found is not None or each.front)
        }

    def fresh(self, row: ExperimentRow) -> bool:
        """Whether `known` rests on all results of the row."""
        kept = self._of(row)
        return kept is not None and kept.version[0] == row.history_seq

    def _of(self, row: ExperimentRow) -> _Kept | None:
        """What is kept of an experiment as it is set up now."""
        with self._lock:
            kept = self._kept.get(row.kept_as)
        if kept is None or kept.version[1] != row.revision or (kept.version[0] == _NOTHING and _past(kept)):
            return None
        return kept

    def _stored(self, session: Session, rows: Sequence[ExperimentRow]) -> dict[str, _Kept]:
        """What the store has of those that are over: a server that began since has it from there."""
        found = estimates.of(session, [row.id for row in rows])
        kept = {row.id: self._from(found.get(row.id), row) for row in rows}
        for row in rows:
            self._keep(row, kept[row.id])
        return kept

    @staticmethod
    def _from(stored: EstimateRow | None, row: ExperimentRow) -> _Kept:
        if stored is None or stored.revision != row.revision:
            return _Kept(None, None, (_NOTHING, row.revision), time.monotonic() + _LOOK_AGAIN)
        found = None
        if stored.trial is not None and stored.value is not None and stored.stddev is not None:
            found = Estimate(stored.trial, stored.value, stored.stddev)
        front = json.loads(stored.front) if stored.front is not None else None
        return _Kept(found, front, (stored.history_seq, stored.revision), 0.0, stored=True)

    def _keep(self, row: ExperimentRow, kept: _Kept) -> None:
        with self._lock:
            self._kept.keep(row.kept_as, kept)

    def refresh(self, store: Store, row: ExperimentRow) -> None:
        """Bring what is known up to date, where results say how noisy they are. Takes up to a second.

        Nothing is known where the engines' process is gone. Whoever looks while a model is being made sees the last, or
        waits for it where the experiment is over.
        """
        version, now = (row.history_seq, row.revision), time.monotonic()
        if row.state.over and self._of(row) is None:
            with store.reading() as session:
                self._stored(session, [row])
        with self._lock:
            if row.state.over:
                self._done.wait_for(lambda: row.kept_as not in self._working, _PATIENCE)
            kept = self._kept.get(row.kept_as)
            made = kept if kept is not None and kept.version == version else None
            if row.kept_as in self._working or (made is not None and (made.stored or not row.state.over)):
                return
            if kept is not None and kept.version[1] == row.revision and not _past(kept) and not row.state.over:
                return
            self._working.add(row.kept_as)
        found, front, stored = (None, None, False) if made is None else (made.found, made.front, False)
        try:
            if made is None:
                found, front = self._found(store, row)
            if row.state.over and (found is not None or front is not None):
                with store.transaction() as session:
                    if experiments.lock(session, row.id).kept_as == row.kept_as:
                        estimates.put(session, row.id, version, astuple(found) if found else None, front)
            stored = row.state.over
        except OrchestuneError as error:
            log.warning("%s: its best trial is the raw one: %s", row.handle, error)
        finally:
            took = time.monotonic() - now
            self._keep(row, _Kept(found, front, version, now + (1 + _REST) * took, stored))
            with self._lock:
                self._working.discard(row.kept_as)
                self._done.notify_all()

    def _found(self, store: Store, row: ExperimentRow) -> tuple[Estimate | None, Sequence[int] | None]:
        """The best trial of one metric, or the front of several."""
        if len(objectives(row.specification.metrics)) > 1:
            return None, self._front(store, row)
        return self._estimate(store, row), None

    def of_the_first(self, store: Store, row: ExperimentRow) -> Estimate | None:
        """Of several metrics: the trial that is best in the first one, as `known` has it of a single one. Not kept."""
        try:
            return self._estimate(store, row)
        except OrchestuneError as error:
            log.warning("%s: its best trial is the raw one: %s", row.handle, error)
            return None

    def _estimate(self, store: Store, row: ExperimentRow) -> Estimate | None:
        specification = row.specification
        with store.reading() as session:
            if row.completed < LEAST or not noisy(session, row, 1):
                return None
            history = _selection(session, row)
            if row.history_seq > _MOST:
                history += _others(read_history.best(session, row, _BEST), history)
        found = analyses.best_estimate(specification.space, _first_alone(specification.metrics), history)
        return Estimate(*found) if found else None

    def _front(self, store: Store, row: ExperimentRow) -> list[int] | None:
        specification = row.specification
        with store.reading() as session:
            if row.completed < LEAST or not noisy(session, row):
                return None
            history = _selection(session, row)
            if row.history_seq > _MOST:
                names = [metric.name for metric in specification.metrics]
                raw = pareto_front(specification.metrics, list(trials.completed_values(session, row.id, names).items()))
                history += _others(read_history.completed(session, row, raw[-_BEST:]), history)
        return analyses.expected_front(specification.space, specification.metrics, history)


def _first_alone(metrics: Sequence[Metric]) -> list[Metric]:
    """The first metric, and of the others what limits them."""
    return [metrics[0], *(replace(metric, optimized=False) for metric in metrics[1:] if metric.limit is not None)]


def _selection(session: Session, row: ExperimentRow) -> list[Observation]:
    return read_history.observations(session, row, 0, every=math.ceil(row.history_seq / _MOST))


def _others(some: list[Observation], history: list[Observation]) -> list[Observation]:
    seen = {observation.number for observation in history}
    return [each for each in some if each.number not in seen]
