"""The signed-rank test of a trial against the best completed one, step by step.

Wilcoxon (1945), *Individual comparisons by ranking methods*; as a rule for trials whose steps are the same instances
(folds, problems, seeds) in Optuna's `WilcoxonPruner`. The steps of a learning curve depend on each other, so for those
its probabilities are no probabilities: docs/early-stopping.md tells how it fares there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestune.domain.curves import Mark, shown
from orchestune.domain.metrics import Metric
from orchestune.domain.states import TrialState
from orchestune.pruners.looks import every

PROBABILITY = 0.1
"""of being at least as bad by chance, below which a trial ends (Optuna's default)"""
PAIRS = 4
"""with fewer no such test can say anything at that probability"""
_EXACT = 50
"""differences up to which their signs are counted; the sum of the ranks of more is as good as normally distributed"""


class WilcoxonPruner:
    """The best completed trial is the one with the best average over its looks."""

    name = "wilcoxon"

    def __init__(self, metric: Metric, *, min_steps: float, interval: float) -> None:
        self._metric, self._first, self._interval = metric, min_steps, interval
        self._open: dict[int, dict[float, float]] = {}
        self._best: tuple[float, int, dict[float, float]] | None = None

    def look(self, trial: int, step: float) -> float | None:
        return every(self._first, self._interval, step)

    def tell(self, mark: Mark) -> None:
        self._open.setdefault(mark.trial, {})[mark.step] = mark.loss

    def finish(self, trial: int, state: TrialState) -> None:
        losses = self._open.pop(trial, None)
        if state is not TrialState.COMPLETED or not losses:
            return
        entry = math.fsum(losses.values()) / len(losses), trial, losses
        if self._best is None or entry[:2] < self._best[:2]:
            self._best = entry

    def judge(self, mark: Mark) -> str | None:
        if self._best is None:
            return None
        losses = {step: loss for step, loss in self._open.get(mark.trial, {}).items() if step <= mark.step}
        average, best, others = self._best
        differences = [loss - others[step] for step, loss in losses.items() if step in others]
        if len(differences) < PAIRS or math.fsum(differences) <= 0:
            return None
        chance = by_chance(differences)
        if chance >= PROBABILITY:
            return None
        return (
            f"{self._metric.name} up to step {mark.step:g} is worse than that of trial {best}, which has"
            f" {shown(self._metric, average)} on average (signed-rank test over {len(differences)} steps,"
            f" p = {chance:.2g})"
        )


def by_chance(differences: Sequence[float]) -> float:
    """The probability that the ranks of what is above 0 have a sum as large if each difference may have either sign.

    Equal sizes share the mean of their ranks; what is 0 has a rank and no sign (Pratt, 1959). Counted sum by sum, since
    libraries try all signs of a dozen differences with equal sizes, which takes a second.
    """
    import numpy as np  # here: a tenth of a second, which only this rule should cost

    found = np.array(differences)
    _, places, counts = np.unique(np.abs(found), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(counts) - counts + 1)[places]  # the ranks, times two: whole numbers
    reached, doubled = int(doubled[found > 0].sum()), doubled[found != 0]
    if len(found) > _EXACT:
        deviation = math.sqrt(float((doubled.astype(float) ** 2).sum())) / 2
        return math.erfc((reached - float(doubled.sum()) / 2) / deviation / math.sqrt(2)) / 2
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1
    for rank in doubled.tolist():
        ways[rank:] += ways[:-rank].copy()
    return float(ways[reached:].sum() / 2.0 ** len(doubled))
