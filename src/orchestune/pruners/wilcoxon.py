"""Wilcoxon pruner: a signed-rank test of a trial against the best completed one, paired by step.

Wilcoxon (1945), *Individual comparisons by ranking methods*; used like Optuna's `WilcoxonPruner` for trials whose steps
are the same instances (folds, problems, seeds). The steps of a learning curve depend on each other, so its p-values are
not valid there; docs/early-stopping.md measures how it performs on these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import PrunerObservation, formatted
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners.schedule import every

PROBABILITY = 0.1
"""p-value threshold below which a trial is pruned (Optuna's default)"""
PAIRS = 4
"""minimum number of pairs: with fewer no p-value is below the threshold"""
_EXACT = 50
"""differences up to which the exact distribution is used; with more the normal approximation is accurate enough"""


class WilcoxonPruner:
    """Prunes against the completed trial with the best average over its evaluation steps."""

    name = "wilcoxon"

    def __init__(self, metric: Metric, *, min_steps: float, interval: float) -> None:
        self._metric, self._first, self._interval = metric, min_steps, interval
        self._open: dict[int, dict[float, float]] = {}
        self._best: tuple[float, int, dict[float, float]] | None = None

    def decision_step(self, trial: int, step: float) -> float | None:
        return every(self._first, self._interval, step)

    def tell(self, observation: PrunerObservation) -> None:
        self._open.setdefault(observation.trial, {})[observation.step] = observation.loss

    def finish(self, trial: int, state: TrialState) -> None:
        losses = self._open.pop(trial, None)
        if state is not TrialState.COMPLETED or not losses:
            return
        entry = math.fsum(losses.values()) / len(losses), trial, losses
        if self._best is None or entry[:2] < self._best[:2]:
            self._best = entry

    def judge(self, observation: PrunerObservation) -> str | None:
        if self._best is None:
            return None
        losses = {
            step: loss for step, loss in self._open.get(observation.trial, {}).items() if step <= observation.step
        }
        average, best, others = self._best
        differences = [loss - others[step] for step, loss in losses.items() if step in others]
        if len(differences) < PAIRS or math.fsum(differences) <= 0:
            return None
        chance = by_chance(differences)
        if chance >= PROBABILITY:
            return None
        return (
            f"{self._metric.name} up to step {observation.step:g} is worse than that of trial {best}, which has"
            f" {formatted(self._metric, average)} on average (signed-rank test over {len(differences)} steps,"
            f" p = {chance:.2g})"
        )


def by_chance(differences: Sequence[float]) -> float:
    """Return the one-sided p-value: the probability of a positive rank sum at least as large under random signs.

    Ties share the mean of their ranks; zeros have a rank but no sign (Pratt, 1959). The exact distribution is computed
    sum by sum, since libraries enumerate all signs of a dozen differences with ties, which takes a second.
    """
    import numpy as np  # imported here: takes a tenth of a second, which only this rule needs

    values = np.array(differences)
    _, places, tie_counts = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(tie_counts) - tie_counts + 1)[places]  # twice the ranks: integers
    rank_sum, doubled = int(doubled[values > 0].sum()), doubled[values != 0]
    if len(values) > _EXACT:
        deviation = math.sqrt(float((doubled.astype(float) ** 2).sum())) / 2
        return math.erfc((rank_sum - float(doubled.sum()) / 2) / deviation / math.sqrt(2)) / 2
    counts_by_sum = np.zeros(int(doubled.sum()) + 1)
    counts_by_sum[0] = 1
    for rank in doubled.tolist():
        counts_by_sum[rank:] += counts_by_sum[:-rank].copy()
    return float(counts_by_sum[rank_sum:].sum() / 2.0 ** len(doubled))
