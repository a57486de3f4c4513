"""Learning curve of a trial, summarized for early stopping rules. Values are losses: smaller is better."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestune.domain.specification.metrics import Metric

WORST = 1e300
"""loss of a value that is not finite: worse than any other, and small enough to be averaged"""

_MAX_STEP = 1e100
"""upper bound of steps, so that the arithmetic of rules cannot overflow"""


@dataclass(frozen=True)
class PrunerObservation:
    """Snapshot of a trial when it reached a decision step of its rule; all values are losses."""

    trial: int
    step: float
    """the decision step; the value may have been reported a little later"""
    loss: float
    """last reported value"""
    best: float
    """minimum so far"""
    mean: float
    """mean so far"""


class LearningCurve:
    """Running summary of the values of one metric, in the order in which a trial reported them."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._count = 0
        self._total = 0.0
        self.step = self.max_step = 0.0  # `step` is the last one reported; it falls if a trial repeats steps
        self.loss = self.best = WORST

    def add(self, value: float, step: float | None) -> None:
        """Add a value. If `step` is None or not finite, it is the last step plus 1."""
        step = step if step is not None and math.isfinite(step) else self.step + 1
        self.step = max(min(step, _MAX_STEP), -_MAX_STEP)
        self.max_step = max(self.max_step, self.step)
        self.loss = loss(self._metric, value)
        self.best = min(self.best, self.loss)
        self._count += 1
        self._total += self.loss

    def pass_over(self, count: int) -> None:
        """Count values without a step that were not finite and therefore not stored."""
        self.step = min(self.step + count, _MAX_STEP)
        self.loss = WORST
        self._count += count
        self._total += WORST * count

    def observation(self, trial: int, step: float) -> PrunerObservation:
        """Return the observation of the trial at the decision step `step`."""
        mean = max(min(self._total / max(self._count, 1), WORST), -WORST)
        return PrunerObservation(trial, step, self.loss, self.best, mean)


def loss(metric: Metric, value: float) -> float:
    """Return `value` as a loss: smaller is better, and always finite."""
    if not math.isfinite(value):
        return WORST
    return max(min(value if metric.goal == "minimize" else -value, WORST), -WORST)


def formatted(metric: Metric, loss: float) -> str:
    """Format a loss as the value that was reported."""
    return "not finite" if loss >= WORST else f"{loss if metric.goal == 'minimize' else -loss:.6g}"
