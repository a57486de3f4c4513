"""Finished trials as an engine is told them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from orchestune.domain.states import TrialState
from orchestune.domain.trial import Observation
from orchestune.domain.warm_start import mapped
from orchestune.store import hot, trials, warm_starts
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_PAGE = 1000


def warm_start(session: Session, row: ExperimentRow) -> list[Observation]:
    """What the search began with, which comes before all else."""
    specification = row.specification
    return list(
        mapped("", warm_starts.results(session, row.id), specification.space, specification.metrics).observations
    )


def observations(session: Session, row: ExperimentRow, told: int, every: int = 1) -> list[Observation]:
    """What is behind place `told` of the history, in its order; with `every`, one of so many."""
    found: list[Observation] = []
    while told < row.history_seq:
        rows = session.rows(hot.HISTORY, {"experiment": row.id, "after": told, "every": every, "limit": _PAGE})
        if not rows:
            break
        where = {"experiment": row.id, "after": told, "upto": rows[-1][3], "every": every}
        values: dict[int, dict[str, float]] = {}
        spread: dict[int, dict[str, float]] = {}
        for trial, name, value, stddev in session.rows(hot.HISTORY_METRICS, where):
            values.setdefault(trial, {})[name] = value
            if stddev is not None:
                spread.setdefault(trial, {})[name] = _of_the_mean(row, stddev)
        last = _last(session, row, where)
        found += [
            Observation(n, json.loads(text), TrialState(state), values.get(n, {}), spread.get(n, {}), last.get(n))
            for n, text, state, _ in rows
        ]
        told = rows[-1][3]
    return found


def best(session: Session, row: ExperimentRow, count: int) -> list[Observation]:
    """The completed trials with the best values."""
    return completed(session, row, trials.best_numbers(session, row.id, row.specification.metrics, count))


def completed(session: Session, row: ExperimentRow, numbers: Sequence[int]) -> list[Observation]:
    """These completed trials."""
    measured = trials.metrics_of(session, row.id, numbers)
    return [
        Observation(
            trial.number,
            json.loads(trial.parameters),
            TrialState(trial.state),
            {name: each["value"] for name, each in measured[trial.number].items()},
            {
                name: _of_the_mean(row, each["stddev"])
                for name, each in measured[trial.number].items()
                if each["stddev"] is not None
            },
        )
        for trial in trials.of_numbers(session, row.id, numbers)
    ]


def _of_the_mean(row: ExperimentRow, stddev: float) -> float:
    """How sure the value is: over folds the spread is that of one fold, and the value is their mean."""
    return stddev / math.sqrt(row.specification.folds.count)


def _last(session: Session, row: ExperimentRow, where: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Where the pruned trials among these were ended; nothing where the metric compared is not the first one."""
    rule, objective = row.specification.early_stopping, row.specification.objective
    if rule is None or rule.metric not in (None, objective.name):
        return {}
    return {trial: (step, loss) for trial, step, loss in session.rows(hot.LAST_MARKS_OF_PRUNED, where)}
