"""The median stopping rule and the percentile rule: a trial against those that ran to their end.

Median: Golovin, Solnik, Moitra, Kochanski, Karro, Sculley (2017), *Google Vizier*, KDD, section 3.2: a trial ends at a
step if its best value so far is strictly worse than the median of the running averages, up to that step, of the
completed trials. Percentile: Optuna's reading of it: the best value so far against a quantile of the best values that
the completed trials had at that step.

Both need a few completed trials at the step before they say anything.
"""

from __future__ import annotations

import math
from array import array
from bisect import insort

from orchestune.domain.curves import Mark, shown
from orchestune.domain.metrics import Metric
from orchestune.domain.states import TrialState
from orchestune.pruners.looks import every

COMPLETED = 5
"""completed trials at a step, with fewer of which nobody is compared"""


class QuantilePruner:
    """`reduction`: the best 1/reduction go on; None: the median rule."""

    def __init__(
        self, name: str, metric: Metric, *, min_steps: float, interval: float, reduction: float | None = None
    ) -> None:
        self.name = name
        self._metric, self._reduction = metric, reduction
        self._first, self._interval = min_steps, interval
        self._open: dict[int, dict[float, Mark]] = {}
        self._completed: dict[float, array[float]] = {}
        """by step, in order: running averages, or best values"""

    def look(self, trial: int, step: float) -> float | None:
        return every(self._first, self._interval, step)

    def tell(self, mark: Mark) -> None:
        self._open.setdefault(mark.trial, {})[mark.step] = mark

    def finish(self, trial: int, state: TrialState) -> None:
        marks = self._open.pop(trial, {})
        if state is TrialState.COMPLETED:
            for step, mark in marks.items():
                known = self._completed.setdefault(step, array("d"))
                insort(known, mark.mean if self._reduction is None else mark.best)

    def judge(self, mark: Mark) -> str | None:
        known = self._completed.get(mark.step, ())
        if len(known) < COMPLETED:
            return None
        limit = quantile(known, 1 / (self._reduction or 2))
        if mark.best <= limit:
            return None
        what = "median of the averages" if self._reduction is None else f"best 1/{self._reduction:g}"
        return (
            f"the best {self._metric.name} up to step {mark.step:g} is {shown(self._metric, mark.best)}; the {what} of"
            f" {len(known)} completed trials is {shown(self._metric, limit)} there"
        )


def quantile(ordered: array[float] | tuple[float, ...], share: float) -> float:
    """The quantile of ordered values, between two of them by their distance (as NumPy does it)."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
