"""Median and percentile pruner: compares a trial with the completed ones.

Median: Golovin, Solnik, Moitra, Kochanski, Karro, Sculley (2017), *Google Vizier*, KDD, section 3.2: a trial is pruned
at a step if its best value so far is strictly worse than the median of the completed trials' running averages up to
that step. Percentile: Optuna's variant, which compares the best value so far with a quantile of the best values that
the completed trials had at that step.

Both prune only at steps that a few completed trials have reached.
"""

from __future__ import annotations

import math
from array import array
from bisect import insort

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import PrunerObservation, formatted
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners.schedule import every

COMPLETED = 5
"""minimum number of completed trials at a step; with fewer no trial is pruned there"""


class QuantilePruner:
    """`reduction`: the best 1/reduction of the trials continue; None: the median rule."""

    def __init__(
        self, name: str, metric: Metric, *, min_steps: float, interval: float, reduction: float | None = None
    ) -> None:
        self.name = name
        self._metric, self._reduction = metric, reduction
        self._first, self._interval = min_steps, interval
        self._open: dict[int, dict[float, float]] = {}
        """trial → step → running average, or best value: of 1,000 steps each, these take less memory"""
        self._completed: dict[float, array[float]] = {}
        """step → sorted running averages, or best values"""

    def decision_step(self, trial: int, step: float) -> float | None:
        return every(self._first, self._interval, step)

    def tell(self, observation: PrunerObservation) -> None:
        compared = observation.mean if self._reduction is None else observation.best
        self._open.setdefault(observation.trial, {})[observation.step] = compared

    def finish(self, trial: int, state: TrialState) -> None:
        values = self._open.pop(trial, {})
        if state is TrialState.COMPLETED:
            for step, value in values.items():
                insort(self._completed.setdefault(step, array("d")), value)

    def judge(self, observation: PrunerObservation) -> str | None:
        completed = self._completed.get(observation.step, ())
        if len(completed) < COMPLETED:
            return None
        limit = quantile(completed, 1 / (self._reduction or 2))
        if observation.best <= limit:
            return None
        limit_name = "median of the averages" if self._reduction is None else f"best 1/{self._reduction:g}"
        best = formatted(self._metric, observation.best)
        return (
            f"the best {self._metric.name} up to step {observation.step:g} is {best};"
            f" the {limit_name} of {len(completed)} completed trials is {formatted(self._metric, limit)} there"
        )


def quantile(ordered: array[float] | tuple[float, ...], share: float) -> float:
    """Return the quantile of sorted values, with linear interpolation (NumPy's default)."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
