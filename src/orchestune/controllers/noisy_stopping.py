"""Applies stop rules to noisy searches by the expected value of their best trial, as `best` shows it."""

from __future__ import annotations

from functools import partial

from orchestune.controllers.isolated_jobs import each
from orchestune.domain.lifecycle.states import Desired
from orchestune.domain.specification.metrics import objectives
from orchestune.domain.specification.stopping import Incumbent
from orchestune.services.core import Core
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.execution.trials import cancel_open
from orchestune.services.memory.estimates import MIN_TRIALS, is_best_uncertain
from orchestune.services.memory.signals import EXPERIMENTS
from orchestune.store import experiment_lists, trials
from orchestune.store.experiments import ExperimentRow


class NoisyStopping:
    """Applies stop rules that depend on the best trial while its value has a reported noise.

    Fitting a model takes up to a second, too long for the path on which trials finish. So these rules wait for this
    controller, and for enough results for a model.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._evaluated: dict[str, int] = {}
        """experiment → length of the history when its rules were last evaluated"""
        self._unfinished: set[str] = set()
        """experiments that were unfinished at the last tick"""

    def tick(self) -> None:
        """Evaluate the experiments whose history has grown."""
        with self._core.store.reading() as session:
            unfinished = {row.id: row for row in experiment_lists.unfinished(session)}
            finished = self._unfinished - set(unfinished)
            ended = experiment_lists.of_ids(session, list(finished)) if finished else []
        self._evaluated = {
            experiment: length for experiment, length in self._evaluated.items() if experiment in unfinished
        }
        self._unfinished = set(unfinished)
        each(
            [
                *(partial(self._experiment, row) for row in unfinished.values()),
                *(partial(self._ended, row) for row in ended),
            ]
        )

    def _ended(self, row: ExperimentRow) -> None:
        """Refresh the estimate, which lists show from now on."""
        self._core.estimates.refresh(self._core.store, row)
        self._core.signals.notify(EXPERIMENTS, f"events:{row.id}")

    def _experiment(self, row: ExperimentRow) -> None:
        if row.history_seq == self._evaluated.get(row.id) or row.completed < MIN_TRIALS or not _depends_on_best(row):
            return
        with self._core.store.reading() as session:
            if not is_best_uncertain(session, row):
                return
        estimates = self._core.estimates
        estimates.refresh(self._core.store, row)
        if not estimates.is_current(row):
            return  # a model was fitted a moment ago, or another thread is fitting one
        incumbent = self._incumbent(row)
        with locked(self._core, row.id) as ledger:
            if ledger.row.desired is not Desired.STOPPED:
                ledger.evaluate(incumbent)
            if ledger.to_be_cancelled:
                cancel_open(ledger)
        self._evaluated[row.id] = row.history_seq

    def _incumbent(self, row: ExperimentRow) -> Incumbent:
        """Return the best trial; with several objectives, the best in the first and the latest on the Pareto front."""
        estimates, several = self._core.estimates, len(objectives(row.specification.metrics)) > 1
        with self._core.store.reading() as session:
            choice = estimates.of(session, [row]).get(row.id)
        estimate, front = (choice.estimate, choice.trials) if choice is not None else (None, ())
        if several:
            estimate = estimates.of_the_first(self._core.store, row)
        with self._core.store.reading() as session:
            places = trials.places(session, row.id, front).values()
        assert row.best_value is not None, "it is is_best_uncertain"
        value = row.best_value if estimate is None else estimate.value
        return Incumbent(value, max(places, default=row.finished - row.trials_since_best))


def _depends_on_best(row: ExperimentRow) -> bool:
    return row.desired is not Desired.STOPPED and row.ended_by is None and row.specification.stop.depend_on_best
