"""The learning curve of a trial, as far as rules of early stopping look at it. A loss: smaller is better."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestune.domain.metrics import Metric

WORST = 1e300
"""the loss of a value that is not finite: worse than any other, and small enough to be averaged"""

_FURTHEST = 1e100
"""the largest step, so that no look of a rule overflows"""


@dataclass(frozen=True)
class Mark:
    """How a trial stood when it came to a step at which its rule looks; all values are losses."""

    trial: int
    step: float
    """the step of the look; the value may have been reported a little later"""
    loss: float
    """the last one"""
    best: float
    """of all so far"""
    mean: float
    """of all so far"""


class Curve:
    """The values of one metric in the order in which a trial reported them, summed up."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._count = 0
        self._total = 0.0
        self.step = self.furthest = 0.0
        self.loss = self.best = WORST

    def add(self, value: float, step: float | None) -> None:
        """One more value. Without a step it belongs to the one after the last."""
        step = step if step is not None and math.isfinite(step) else self.step + 1
        self.step = max(min(step, _FURTHEST), -_FURTHEST)
        self.furthest = max(self.furthest, self.step)
        self.loss = loss(self._metric, value)
        self.best = min(self.best, self.loss)
        self._count += 1
        self._total += self.loss

    def pass_over(self, count: int) -> None:
        """So many values without a step that were no finite numbers, and of which nothing was kept."""
        self.step = min(self.step + count, _FURTHEST)
        self.loss = WORST
        self._count += count
        self._total += WORST * count

    def mark(self, trial: int, step: float) -> Mark:
        """How the trial stands; the step of the look is `step`."""
        mean = max(min(self._total / max(self._count, 1), WORST), -WORST)
        return Mark(trial, step, self.loss, self.best, mean)


def loss(metric: Metric, value: float) -> float:
    """Smaller is better, and always finite."""
    if not math.isfinite(value):
        return WORST
    return max(min(value if metric.goal == "minimize" else -value, WORST), -WORST)


def shown(metric: Metric, loss: float) -> str:
    """A loss as the value that was reported, for people."""
    return "not finite" if loss >= WORST else f"{loss if metric.goal == 'minimize' else -loss:.6g}"
