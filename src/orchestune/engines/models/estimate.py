"""Estimates which of the evaluated configurations is best if measurements are noisy.

The best of many noisy values is usually the luckiest one. A Gaussian process that knows the noise of each value expects
less of a value that its neighbours do not support. Trials are ranked by the posterior mean plus one standard deviation
to the bad side, so that of two equally good configurations the better known one is taken.

The noise reported by trials bounds the noise of the model. Otherwise a few diverged trials, which no smooth function of
the parameters explains, would turn all differences into noise, and clearly worse trials would seem as good.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric, objectives
from orchestune.engines.models.cube import Cube, Flags, Floats
from orchestune.engines.models.fitting import fit, max_fit_points
from orchestune.engines.models.history import best
from orchestune.engines.models.posterior import Posterior
from orchestune.engines.models.training_data import TrainingPoint, regression_data, thinned, training_point

MIN_RESULTS = 10
"""minimum number of results for an estimate"""
_FITTED, _MODELLED = 150, 250
"""upper bounds of the results used to fit the scales and to build the model: the best and some of the others"""
_CLEAR = 3.0
"""joint reported standard deviations from which a value counts as clearly worse, whatever the posterior says"""
_COMMON = 10.0
"""upper bound of the common noise, in multiples of the reported variance: scripts may report too little noise"""
_DIVERGED_RANGES = 3.0
"""trials this many interquartile ranges above the upper quartile, and clearly worse than the best, diverged; the model
leaves them out
"""
_CLIFF = 300.0
"""a gap this many times as wide as the range of the better trials: all beyond it diverged, however many there are. With
values such as 1e9 for failures a model could not tell the others apart"""
_BETTER = 5
"""minimum number of results better than such a gap: fewer may be similar by chance"""
_HUGE = 1e300
"""losses beyond this may have differences that overflow"""


@dataclass(frozen=True)
class PosteriorEstimate:
    """The posterior mean and standard deviation of the first metric at a trial's configuration."""

    number: int
    value: float
    stddev: float
    measured_value: float
    """the posterior mean at the configuration of the trial with the best measured value, and its standard deviation"""
    measured_stddev: float


def best_estimate(space: Space, metrics: Sequence[Metric], history: Sequence[Observation]) -> PosteriorEstimate | None:
    """Return the feasible trial with the best posterior mean plus one standard deviation to the bad side.

    None if no trial reports its noise, with several objectives, or with fewer than `MIN_RESULTS` results.
    """
    cube, optimized = Cube(space), objectives(metrics)
    points = _known(cube, metrics, history)
    if len(optimized) > 1 or len(points) < MIN_RESULTS or not any(item.deviations[0] > 0 for item in points.values()):
        return None
    numbers = {id(item): number for number, item in points.items()}
    entries = thinned(list(points.values()), _MODELLED)
    feasible = np.array([item.feasible for item in entries])
    expected = _expected(cube, entries)
    if not feasible.any() or expected is None:
        return None
    losses, deviations = expected
    behind = np.any(_clearly_worse(entries) & feasible, axis=1)
    place = int(np.where(feasible & ~behind, losses / 2 + deviations / 2, np.inf).argmin())  # halved against overflow
    raw = np.array([item.losses[0] if item.losses and item.feasible else np.inf for item in entries])
    measured, sign = int(raw.argmin()), 1.0 if optimized[0].goal == "minimize" else -1.0
    return PosteriorEstimate(
        numbers[id(entries[place])],
        sign * float(losses[place]),
        float(deviations[place]),
        sign * float(losses[measured]),
        float(deviations[measured]),
    )


def expected_front(space: Space, metrics: Sequence[Metric], history: Sequence[Observation]) -> list[int] | None:
    """Return the Pareto front by posterior mean plus one standard deviation to the bad side, with several objectives.

    Each metric with reported noise has its own process; the others count as measured. Only feasible trials, and of many
    the least dominated ones. None if no trial reports its noise, or with fewer than `MIN_RESULTS` results.
    """
    cube = Cube(space)
    points = _known(cube, metrics, history)
    noisy = {place for item in points.values() for place, deviation in enumerate(item.deviations) if deviation > 0}
    if len(objectives(metrics)) < 2 or len(points) < MIN_RESULTS or not noisy:
        return None
    ranked = best([(item.losses or (), number, item) for number, item in points.items()], _MODELLED)
    entries = [item for _, _, item in ranked]
    feasible_indices = [place for place, item in enumerate(entries) if item.feasible]
    if not feasible_indices:
        return None
    columns: list[Floats] = []
    measured: list[Floats] = []
    clearly: list[Flags] = []
    for place in range(len(objectives(metrics))):
        alone = [_alone(item, place) for item in entries]
        expected = _expected(cube, alone) if place in noisy else None
        raw = np.array([item.losses[0] for item in alone if item.losses])
        columns.append((raw if expected is None else expected[0] / 2 + expected[1] / 2)[feasible_indices])
        measured.append(raw[feasible_indices])
        clearly.append(_clearly_worse([alone[index] for index in feasible_indices]))
    worse = _beaten(np.stack(columns), np.stack(measured), np.stack(clearly))
    return (
        sorted(ranked[place][1] for place, beaten in zip(feasible_indices, worse.tolist(), strict=True) if not beaten)
        or None
    )


def _beaten(expected: Floats, measured: Floats, clearly: Flags) -> Flags:
    """Return a mask of the dominated trials: by expectation unless clearly better in a metric, or clearly as measured.

    All arguments have the metric as first axis; `clearly[m, i, j]`: `i` is clearly worse than `j`.
    """
    as_good = np.all(expected[:, None] <= expected[:, :, None], axis=0) & ~np.any(clearly, axis=0).T
    better = np.any(expected[:, None] < expected[:, :, None], axis=0)
    as_measured = np.all(measured[:, None] <= measured[:, :, None], axis=0) & np.any(clearly, axis=0)
    dominated: Flags = np.any((as_good & better) | as_measured, axis=1)
    return dominated


def _known(cube: Cube, metrics: Sequence[Metric], history: Sequence[Observation]) -> dict[int, TrainingPoint]:
    points: dict[int, TrainingPoint] = {}
    for observation in history:
        point = training_point(cube, metrics, observation)
        if point is not None and point.losses is not None:
            points[observation.number] = point
    return points


def _alone(item: TrainingPoint, place: int) -> TrainingPoint:
    """Return the entry with one of its losses only."""
    assert item.losses is not None
    return replace(item, losses=(item.losses[place],), deviations=(item.deviations[place],))


def _clearly_worse(entries: Sequence[TrainingPoint]) -> Flags:
    """Return a mask for entries with one loss each: row is worse than column by many standard deviations."""
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    spread = _spread(entries)
    with np.errstate(over="ignore"):
        mask: Flags = losses[:, None] - losses > _CLEAR * np.hypot(spread[:, None], spread)
    return mask


def _spread(entries: Sequence[TrainingPoint]) -> Floats:
    """Return the reported standard deviations, at least their median: a few folds may agree by chance."""
    reported = np.array([item.deviations[0] for item in entries])
    positive = reported[reported > 0]
    return np.maximum(reported, np.median(positive)) if len(positive) else reported


def _expected(cube: Cube, entries: Sequence[TrainingPoint]) -> tuple[Floats, Floats] | None:
    """Return posterior means and standard deviations for entries with one loss each.

    Diverged trials count as measured. None if all others are equal, or few.
    """
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    worst = _worst(losses, float(np.median(_spread(entries))))
    if worst is None:
        return None
    sane = losses <= worst
    modelled = _modelled(cube, [item for item, is_sane in zip(entries, sane.tolist(), strict=True) if is_sane])
    if modelled is None:
        return None
    expected, deviations = losses.copy(), np.zeros(len(losses))
    expected[sane], deviations[sane] = modelled
    return expected, deviations


def _worst(losses: Floats, spread: float) -> float | None:
    """Return the loss beyond which trials count as diverged; None if fewer than `MIN_RESULTS` are below a gap.

    If the others differ by less than the reported noise, the model needs all of them up to a gap: without the far worse
    ones it would see only noise.
    """
    ordered, most = np.sort(losses), math.inf
    with np.errstate(over="ignore"):
        below = np.maximum(ordered - ordered[0], spread)
        cliffs = np.flatnonzero(np.diff(ordered)[_BETTER - 1 :] > _CLIFF * below[_BETTER - 1 : -1])
        if len(cliffs):
            ordered = ordered[: _BETTER + cliffs[0]]
            most = float(ordered[-1])
            if len(ordered) < MIN_RESULTS:
                return None
        place = (len(ordered) - 1) // 4
        low, high = ordered[place], ordered[-place - 1]
        if high - low < _CLEAR * spread:
            return most
        return min(most, max(float(high + _DIVERGED_RANGES * (high - low)), float(ordered[0] + 2 * _CLEAR * spread)))


def _modelled(cube: Cube, entries: Sequence[TrainingPoint]) -> tuple[Floats, Floats] | None:
    training = regression_data(entries, cube.dimension, "plain", (1.0,))
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    unit = _HUGE if np.abs(losses).max() > _HUGE else 1.0
    losses /= unit  # differences cannot overflow now
    scale = _scale(losses, training.values)
    if scale is None:
        return None
    few = regression_data(
        thinned(entries, min(_FITTED, max_fit_points(cube.dimension))), cube.dimension, "plain", (1.0,)
    )
    noises = few.reported[few.reported > 0]
    most = _COMMON * float(np.median(noises)) if len(noises) else None
    scales = fit(cube.features(few.points), few, cube.numeric, most_noise=most)
    features = cube.features(training.points)
    posterior = Posterior(scales, features, training.values, training.noise(scales), features[:0], cube.numeric)
    means, deviations = posterior.at(features)
    low = int(losses.argmin())
    expected = losses[low] + (means - training.values[low]) * scale
    return _times(unit, expected), _times(unit, deviations * scale)


def _times(unit: float, values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.clip(values * unit, -sys.float_info.max, sys.float_info.max)


def _scale(losses: Floats, values: Floats) -> float | None:
    """Return the factor from differences on the model's scale to losses; None if all are equal.

    Both reference points are below the upper quartile, where nothing is clipped.
    """
    order = np.argsort(losses, kind="stable")
    low, high = order[0], order[int(0.75 * (len(order) - 1))]
    apart = float(values[high] - values[low])
    return float(losses[high] - losses[low]) / apart if apart > 0 else None
