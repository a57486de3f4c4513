"""The history of an experiment: its finished trials, in the order of their results, as observations for an engine.

A trial's position in it is its `history_seq`, which is assigned when it finishes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.trial import Observation
from orchestune.domain.search.warm_start import mapped
from orchestune.store import trials, warm_starts
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.history import HISTORY, HISTORY_METRICS
from orchestune.store.statements.pruning import LAST_OBSERVATIONS_OF_PRUNED, ObservationOfPruned

_PAGE_TRIALS = 1000
_PAGE_BYTES = 2**24
"""configurations of a page as JSON; as Python objects they take several times as much"""


def warm_start(session: Session, row: ExperimentRow) -> list[Observation]:
    """Return the warm-start observations, which precede the experiment's own history."""
    specification = row.specification
    return list(
        mapped("", warm_starts.results(session, row.id), specification.space, specification.metrics).observations
    )


def observations(session: Session, row: ExperimentRow, after: int, every: int = 1) -> list[Observation]:
    """Return the observations after position `after` of the history, in order; only each `every`-th one."""
    history: list[Observation] = []
    while after < row.history_seq:
        page_of_history, upto = page(session, row, after, every)
        if not page_of_history:
            break
        history += page_of_history
        after = upto
    return history


def page(session: Session, row: ExperimentRow, after: int, every: int = 1) -> tuple[list[Observation], int]:
    """Return some observations after position `after`, in order, and the position of the last one; none at the end."""
    history: list[Observation] = []
    limit = max(1, min(_PAGE_TRIALS, _PAGE_BYTES // max(1, row.specification.space.configuration_bytes)))
    if rows := session.rows(HISTORY, {"experiment": row.id, "after": after, "every": every, "limit": limit}):
        upto = rows[-1].history_seq
        where = {"experiment": row.id, "after": after, "upto": upto}
        values: dict[int, dict[str, float]] = {}
        spread: dict[int, dict[str, float]] = {}
        for metric in session.rows(HISTORY_METRICS, where | {"every": every}):
            values.setdefault(metric.trial, {})[metric.name] = metric.value
            if metric.stddev is not None:
                spread.setdefault(metric.trial, {})[metric.name] = _of_the_mean(row, metric.stddev)
        last = {
            observed.trial: (observed.step, observed.loss)
            for observed in _pruner_observations(session, row, after, upto)
        }
        for trial in rows:
            number, state = trial.number, TrialState(trial.state)
            measured, stddev = values.get(number, {}), spread.get(number, {})
            history.append(Observation(number, json.loads(trial.parameters), state, measured, stddev, last.get(number)))
        after = upto
    return history, after


def best(session: Session, row: ExperimentRow, count: int) -> list[Observation]:
    """Return the `count` completed trials with the best values."""
    return completed(session, row, trials.best_numbers(session, row.id, row.specification.metrics, count))


def completed(session: Session, row: ExperimentRow, numbers: Sequence[int]) -> list[Observation]:
    """Return the observations of these completed trials."""
    measured = trials.metrics_of(session, row.id, numbers)
    return [
        Observation(
            trial.number,
            trial.configuration,
            TrialState(trial.state),
            {name: each.value for name, each in measured[trial.number].items()},
            {
                name: _of_the_mean(row, each.stddev)
                for name, each in measured[trial.number].items()
                if each.stddev is not None
            },
        )
        for trial in trials.of_numbers(session, row.id, numbers)
    ]


def _of_the_mean(row: ExperimentRow, stddev: float) -> float:
    """Return the standard error: `stddev` is the spread of one fold, and the value is the mean over the folds."""
    return stddev / math.sqrt(row.specification.folds.count)


def _pruner_observations(session: Session, row: ExperimentRow, after: int, upto: int) -> list[ObservationOfPruned]:
    """Return the pruner observations of the pruned trials in that part of the history, in the order of steps.

    Empty if the pruner does not compare the first metric.
    """
    rule, objective = row.specification.early_stopping, row.specification.objective
    if rule is None or rule.metric not in (None, objective.name):
        return []
    return session.rows(LAST_OBSERVATIONS_OF_PRUNED, {"experiment": row.id, "after": after, "upto": upto})
