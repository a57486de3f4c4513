"""Training data of a Gaussian process from a history.

- completed, every metric finite: the loss;
- completed with a reported standard deviation: the loss with that noise, or less if the results are less noisy: scripts
  often report the spread of folds, not that of repeated runs;
- pruned: worse than most. Enters halfway between the upper quartile and the worst loss, with a large variance;
- failed, or not finite: no loss. A separate model has the probability of failure;
- a penalty, as scripts report for failures: treated as failed (`without_penalties`);
- cancelled: ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric, excesses, objectives
from orchestune.engines.models.cube import Cube, Floats, stacked
from orchestune.engines.models.dominance import dominator_counts
from orchestune.engines.models.kernel import Scales
from orchestune.engines.models.warping import Warping, warped

_PRUNED_VARIANCE = 0.25
"""variance of the assumed loss of a pruned trial, on the scale of standardized losses"""
_MAX_VARIANCE = 100.0
_NO_WIDTH = 1e-9
"""width of a front, on the same scale, below which its losses count as equal"""
_MIN_PENALTIES, _MIN_BETTER = 3, 5
"""minimum number of trials that share a penalty, and of better ones: fewer may do so by chance"""


@dataclass(frozen=True, eq=False)
class TrainingPoint:
    """An observation: coordinates in the cube, and a loss per metric (smaller is better), None if it has no losses."""

    coordinates: Floats
    losses: tuple[float, ...] | None
    deviations: tuple[float, ...]
    """standard deviations of the losses, 0 where none was reported"""
    pruned: bool = False
    excesses: tuple[float, ...] = ()
    """excess over each limit; empty unless completed with a value for each"""

    @property
    def failed(self) -> bool:
        """True if it ended without a loss and was not pruned."""
        return self.losses is None and not self.pruned

    @property
    def feasible(self) -> bool:
        """True if it completed within every limit."""
        return self.losses is not None and all(excess <= 0 for excess in self.excesses)


@dataclass(frozen=True)
class TrainingData:
    """The training data of a model."""

    points: Floats
    """coordinates, one row per observation"""
    values: Floats
    variances: Floats
    """variance per value, in addition to the common noise"""
    reported: Floats
    """variance reported by the trial, 0 if none"""

    def noise(self, scales: Scales) -> Floats:
        """Return the noise variances given the scales."""
        total: Floats = self.variances + scales.trust * self.reported
        return total


def training_point(cube: Cube, metrics: Sequence[Metric], observation: Observation) -> TrainingPoint | None:
    """Return the training point of an observation; None if it was cancelled or is not in this space."""
    point = None if observation.state is TrialState.CANCELLED else cube.point(observation.parameters)
    if point is None:
        return None
    nothing = (0.0,) * len(objectives(metrics))
    if observation.state is not TrialState.COMPLETED:
        return TrainingPoint(point, None, nothing, observation.state is TrialState.PRUNED)
    optimized, beyond = objectives(metrics), excesses(metrics, observation.metrics)
    values = [observation.metrics.get(metric.name, math.nan) for metric in optimized]
    if not all(map(math.isfinite, (*values, *beyond))):
        return TrainingPoint(point, None, nothing)
    losses = tuple(v if metric.goal == "minimize" else -v for metric, v in zip(optimized, values, strict=True))
    stddevs = [abs(observation.stddev.get(metric.name, 0.0)) for metric in optimized]
    return TrainingPoint(
        point, losses, tuple(value if math.isfinite(value) else 0.0 for value in stddevs), excesses=beyond
    )


def without_penalties(points: Sequence[TrainingPoint]) -> list[TrainingPoint]:
    """Treat trials as failed if several share the worst loss and its gap to the others exceeds the range of these.

    Many scripts report such a value for failures, 1e9 or the loss of a random guess. A model with it could not tell
    the others apart, and would fit the jump as a slope.
    """
    losses = [point.losses[0] for point in points if point.losses is not None and len(point.losses) == 1]
    worst = max(losses, default=0.0)
    others = [loss for loss in losses if loss < worst]
    if len(losses) - len(others) < _MIN_PENALTIES or len(others) < _MIN_BETTER:
        return list(points)
    if worst - max(others) <= max(others) - min(others):
        return list(points)
    return [replace(point, losses=None) if point.losses == (worst,) else point for point in points]


def limit_data(points: Sequence[TrainingPoint], width: int, index: int) -> tuple[TrainingData, float] | None:
    """Return the known excesses over one limit, standardized, and the limit on that scale; None if none is known."""
    measured = [point for point in points if point.excesses]
    if not measured:
        return None
    limit_excesses = np.array([point.excesses[index] for point in measured])
    low, high = np.quantile(limit_excesses, [0.1, 0.9])
    room = max(high - low, 1e-12 * float(np.abs(limit_excesses).max()), 1e-300)
    cut = np.clip(
        limit_excesses, min(low - room, -room), max(high + room, room)
    )  # the size of extreme excesses does not matter
    deviation = float(cut.std())
    scale = 1 / deviation if deviation > 1e-300 else 0.0
    mean = float(cut.mean())
    values = (cut - mean) * scale if scale else np.sign(cut)
    limit = -mean * scale if scale else 0.0
    coordinates = stacked([point.coordinates for point in measured], width)
    return _noiseless(coordinates, values), limit


def failure_data(points: Sequence[TrainingPoint], width: int) -> tuple[TrainingData, float] | None:
    """Return failure labels (±1), standardized, and the midpoint on that scale; None if all trials failed or none.

    Least-squares classification: a regression on labels, which suffices to rank points (Rasmussen and Williams, 2006,
    6.5).
    """
    labels = np.array([1.0 if point.failed else -1.0 for point in points])
    deviation = float(labels.std())
    if deviation == 0:
        return None
    mean = float(labels.mean())
    coordinates = stacked([point.coordinates for point in points], width)
    return _noiseless(coordinates, (labels - mean) / deviation), -mean / deviation


def _noiseless(coordinates: Floats, values: Floats) -> TrainingData:
    return TrainingData(coordinates, values, np.zeros(len(values)), np.zeros(len(values)))


def thinned(points: Sequence[TrainingPoint], most: int) -> list[TrainingPoint]:
    """Return at most `most` points in order: the best third by the first metric, the others evenly selected."""
    if len(points) <= most:
        return list(points)
    order = sorted(range(len(points)), key=lambda i: (points[i].losses or (math.inf,))[0])
    best, rest = order[: most // 3], sorted(order[most // 3 :])
    chosen = np.linspace(0, len(rest) - 1, most - len(best)).round().astype(int)
    return [points[index] for index in sorted({*best, *(rest[i] for i in chosen)})]


def regression_data(
    points: Sequence[TrainingPoint], width: int, warping: Warping, weights: Sequence[float]
) -> TrainingData:
    """Return the losses of `points` as training data: at least one must have a loss, and none may have failed.

    `weights`: those of the metrics.
    """
    scored = [point for point in points if point.losses is not None]
    losses, deviations = (np.array([getattr(e, name) for e in scored]) for name in ("losses", "deviations"))
    values, factor = warped(losses[:, 0], warping) if len(weights) == 1 else (_scalar(losses, weights), 0.0)
    with np.errstate(over="ignore"):
        reported_variances = np.minimum((deviations[:, 0] * factor) ** 2, _MAX_VARIANCE)
    poorer = (float(np.quantile(values, 0.75)) + float(values.max())) / 2
    completed = np.array([point.losses is not None for point in points])
    all_values, reported = np.full(len(points), poorer), np.zeros(len(points))
    all_values[completed], reported[completed] = values, reported_variances
    spread = np.where(completed, 0.0, _PRUNED_VARIANCE)
    return TrainingData(stacked([point.coordinates for point in points], width), all_values, spread, reported)


def _scalar(losses: Floats, weights: Sequence[float]) -> Floats:
    """Return the augmented Chebyshev scalarization of ParEGO (Knowles, 2006), with losses scaled by the front's width.

    With that scale the weights spread along the front; with the width of all losses most would point to its ends.
    """
    columns = np.stack([warped(column, "plain")[0] for column in losses.T])
    front = columns[:, dominator_counts(columns.T) == 0]
    best, width = front.min(axis=1, keepdims=True), np.ptp(front, axis=1, keepdims=True)
    weighted = (columns - best) / np.where(width > _NO_WIDTH, width, 1.0) * np.array(weights)[:, None]
    return warped(weighted.max(axis=0) + 0.05 * weighted.sum(axis=0), "plain")[0]
