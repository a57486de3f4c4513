"""How alike two points are: Matérn 5/2 on a weighted distance, in which choices that differ are one apart.

Beside that, where wanted, the mean of the same in each coordinate by itself: what is learnt of a coordinate then holds
wherever the others are, as it does for a loss that is a sum of functions of one parameter each (Duvenaud et al., 2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from orchestune.engines.cube import Flags, Floats

_ROOT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Scales:
    """What a Gaussian process is made with, beside its points."""

    weights: Floats
    """by coordinate: the inverse of the squared length scale"""
    amplitude: float
    noise: float
    """variance"""
    single: Floats | None = None
    """by coordinate: the inverse of the length scale of what it does by itself; None without such a part"""
    single_amplitude: float = 0.0
    trust: float = 1.0
    """the share of the variances that trials report which their values bear out"""

    @property
    def variance(self) -> float:
        """Of a value that nothing is known of, without noise."""
        return self.amplitude + self.single_amplitude

    def shortened(self, factor: float) -> Scales:
        """With every length divided by `factor`: less is known of what lies away from the points."""
        single = None if self.single is None else self.single * factor
        return replace(self, weights=self.weights * factor**2, single=single)


def covariance(one: Floats, other: Floats, numeric: Flags, scales: Scales) -> Floats:
    """Of the values at the rows of two matrices of features: rows of `one` by rows of `other`."""
    found = scales.amplitude * matern(distances(one, other, numeric, scales.weights))
    if scales.single is not None:
        found += scales.single_amplitude * _mean_of_singles(one, other, numeric, scales.single)
    return found


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
    """The mean over coordinates of their correlations (points by points), and its derivatives by the logarithms of the
    length scales; `distances` and these by coordinate first.
    """
    r = _ROOT5 * inverse_lengths[:, None, None] * distances
    decay = np.exp(-r)
    slopes = r * r * (1 + r) * decay / (3 * len(inverse_lengths))
    return ((1 + r + r * r / 3) * decay).mean(axis=0), slopes


def _matern(r: Floats) -> Floats:
    found: Floats = (1 + r + r * r / 3) * np.exp(-r)
    return found


def squared_differences(features: Floats, numeric: Flags) -> Floats:
    """For each coordinate and pair of points the squared difference, or 0 or 1 for a choice: coordinates come first."""
    columns = features.T
    differences = columns[:, :, None] - columns[:, None, :]
    squares: Floats = np.where(numeric[:, None, None], differences**2, differences != 0)
    return squares


def distances(one: Floats, other: Floats, numeric: Flags, weights: Floats) -> Floats:
    """Squared weighted distances between the rows of two matrices of features: rows of `one` by rows of `other`."""
    scale = np.sqrt(weights[numeric])
    a, b = one[:, numeric] * scale, other[:, numeric] * scale
    found: Floats = np.sum(a * a, axis=1)[:, None] + np.sum(b * b, axis=1)[None, :] - 2 * (a @ b.T)
    np.maximum(found, 0.0, out=found)
    for column in np.flatnonzero(~numeric):
        found += weights[column] * (one[:, column, None] != other[None, :, column])
    return found


def matern(squared: Floats) -> Floats:
    """The correlation at a squared distance."""
    return _matern(_ROOT5 * np.sqrt(squared))


def matern_and_slope(squared: Floats) -> tuple[Floats, Floats]:
    """The correlation, and its derivative by the squared distance."""
    r = _ROOT5 * np.sqrt(squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -5 / 6 * (1 + r) * decay
