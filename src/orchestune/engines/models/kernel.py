"""Covariance: Matérn 5/2 on a weighted distance, in which different choices have distance 1.

Optionally plus the mean of one-dimensional kernels, one per coordinate: what is learned of a coordinate then holds for
all values of the others, as for a loss that is a sum of functions of one parameter each (Duvenaud et al., 2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from orchestune.engines.models.cube import Flags, Floats

_ROOT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Scales:
    """The hyperparameters of a Gaussian process."""

    weights: Floats
    """inverse squared length scale per coordinate"""
    amplitude: float
    noise: float
    """variance of the common noise"""
    single: Floats | None = None
    """inverse length scale per coordinate in the additive part; None without that part"""
    single_amplitude: float = 0.0
    trust: float = 1.0
    """factor in (0, 1] on the variances that trials report: how far the values confirm them"""

    @property
    def variance(self) -> float:
        """The prior variance of a value, without noise."""
        return self.amplitude + self.single_amplitude

    def shortened(self, factor: float) -> Scales:
        """Return the scales with every length divided by `factor`: less certain away from the points."""
        single = None if self.single is None else self.single * factor
        return replace(self, weights=self.weights * factor**2, single=single)


def covariance(one: Floats, other: Floats, numeric: Flags, scales: Scales) -> Floats:
    """Return the covariance of the values at two matrices of features: rows of `one` by rows of `other`."""
    covariances = scales.amplitude * matern(distances(one, other, numeric, scales.weights))
    if scales.single is not None:
        covariances += scales.single_amplitude * _mean_of_singles(one, other, numeric, scales.single)
    return covariances


def _mean_of_singles(one: Floats, other: Floats, numeric: Flags, inverse_lengths: Floats) -> Floats:
    total = np.zeros((len(one), len(other)))
    for column, inverse in enumerate(inverse_lengths):
        if numeric[column]:
            total += _matern(_ROOT5 * inverse * np.abs(one[:, column, None] - other[None, :, column]))
        else:
            apart = float(_matern(np.array(_ROOT5 * inverse)))
            total += np.where(one[:, column, None] != other[None, :, column], apart, 1.0)
    return total / max(1, len(inverse_lengths))


def sum_and_slopes(distances: Floats, inverse_lengths: Floats) -> tuple[Floats, Floats]:
    """Return the mean of the coordinates' correlations (points by points), and its derivatives by log length scale.

    `distances` and the derivatives have the coordinate as first axis.
    """
    r = _ROOT5 * inverse_lengths[:, None, None] * distances
    decay = np.exp(-r)
    slopes = r * r * (1 + r) * decay / (3 * len(inverse_lengths))
    return ((1 + r + r * r / 3) * decay).mean(axis=0), slopes


def _matern(r: Floats) -> Floats:
    correlations: Floats = (1 + r + r * r / 3) * np.exp(-r)
    return correlations


def squared_differences(features: Floats, numeric: Flags) -> Floats:
    """Return squared differences of all pairs of points (0 or 1 for choices): coordinates by points by points."""
    columns = features.T
    differences = columns[:, :, None] - columns[:, None, :]
    squares: Floats = np.where(numeric[:, None, None], differences**2, differences != 0)
    return squares


def distances(one: Floats, other: Floats, numeric: Flags, weights: Floats) -> Floats:
    """Return squared weighted distances of two matrices of features: rows of `one` by rows of `other`."""
    scale = np.sqrt(weights[numeric])
    a, b = one[:, numeric] * scale, other[:, numeric] * scale
    squares: Floats = np.sum(a * a, axis=1)[:, None] + np.sum(b * b, axis=1)[None, :] - 2 * (a @ b.T)
    np.maximum(squares, 0.0, out=squares)
    for column in np.flatnonzero(~numeric):
        squares += weights[column] * (one[:, column, None] != other[None, :, column])
    return squares


def matern(squared: Floats) -> Floats:
    """Return the correlation at a squared distance."""
    return _matern(_ROOT5 * np.sqrt(squared))


def matern_and_slope(squared: Floats) -> tuple[Floats, Floats]:
    """Return the correlation and its derivative by the squared distance."""
    r = _ROOT5 * np.sqrt(squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -5 / 6 * (1 + r) * decay
