"""What each experiment's rule of early stopping knows: rows, kept ready in memory."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from orchestune.domain.curves import Curve, Mark
from orchestune.domain.early_stopping import EarlyStopping
from orchestune.domain.metrics import Metric, Point
from orchestune.domain.states import TrialState
from orchestune.ports.pruner import Pruner
from orchestune.pruners import registry
from orchestune.services.recent import Latest
from orchestune.store import hot
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_BOARDS = 500
_TRACKS = 20_000


@dataclass
class Track:
    """The curve of an attempt, as far as its points were taken."""

    curve: Curve
    looked: float | None = None
    """the last step at which its rule looked"""
    counted: int = -1
    sent: int = -1
    """the highest sequences of points that its worker counted, and of those that came by HTTP"""

    def take(self, point: Point, http: int) -> bool:
        """Add a point; False for one that was taken before. What is missing among those that a worker counted was no
        finite number: that is no row, from which a track is made again.
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
    """The rule of one experiment, told of everything in the rows up to two numbers that grow with them.

    Other replicas write rows too, so whoever holds the experiment's lock refreshes it before asking.
    """

    def __init__(self, rule: EarlyStopping, row: ExperimentRow) -> None:
        self.rule = rule
        self._metrics = row.specification.metrics
        self.metric: Metric = registry.check(rule, self._metrics)
        self.tracks: Latest[str, Track] = Latest(_TRACKS)
        self._folds: dict[int, Pruner] = {}
        self._marks = self._ends = 0

    def pruner(self, fold: int) -> Pruner:
        """The rule that compares the curves of one fold."""
        if fold not in self._folds:
            self._folds[fold] = registry.create(self.rule, self._metrics)
        return self._folds[fold]

    def refresh(self, session: Session, row: ExperimentRow) -> None:
        """Learn what is new in the rows."""
        for mark in session.rows(hot.NEW_MARKS, {"experiment": row.id, "after": self._marks}):
            self.pruner(mark.fold).tell(Mark(mark.trial, mark.step, mark.loss, mark.best, mark.mean))
            self._marks = mark.seq
        if self._ends == row.history_seq:
            return
        for trial in session.rows(hot.ENDS, {"experiment": row.id, "after": self._ends}):
            for pruner in self._folds.values():
                pruner.finish(trial.number, TrialState(trial.state))
            self._ends = trial.history_seq

    def keep(self, attempt: str, track: Track) -> None:
        """Remember the curve of an attempt; those that nothing was heard of for longest are forgotten first."""
        self.tracks.keep(attempt, track)


class Boards:
    """The boards of this server process. Each is used under its experiment's lock; forgetting one costs time alone."""

    def __init__(self) -> None:
        self._known: Latest[Hashable, tuple[EarlyStopping, Board]] = Latest(_BOARDS)
        self._lock = threading.Lock()

    def of(self, row: ExperimentRow) -> Board | None:
        """The board of an experiment; None where nothing is ended early."""
        rule = row.specification.early_stopping
        if rule is None:
            return None
        with self._lock:
            found = self._known.get(row.kept_as)
            if found is None or found[0] != rule:
                found = rule, Board(rule, row)
            return self._known.keep(row.kept_as, found)[1]

    def keep(self, rows: Iterable[ExperimentRow]) -> None:
        """Forget all others: they are over."""
        with self._lock:
            for over in self._known.keys() - {row.kept_as for row in rows}:
                del self._known[over]

    def forget(self, row: ExperimentRow) -> None:
        """After a transaction that was undone: what was learned in it is not so."""
        with self._lock:
            self._known.pop(row.kept_as, None)
