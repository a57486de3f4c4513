"""How alike two points are: Matérn 5/2 on a weighted distance, in which choices that differ are one apart."""

from __future__ import annotations

import math

import numpy as np

from orchestune.engines.cube import Flags, Floats

_ROOT5 = math.sqrt(5.0)


def squared_differences(features: Floats, numeric: Flags) -> Floats:
    """For each coordinate and pair of points the squared difference, or 0 or 1 for a choice: coordinates come first."""
    columns = features.T
    differences = columns[:, :, None] - columns[:, None, :]
    squares: Floats = np.where(numeric[:, None, None], differences**2, differences != 0)
    return squares


def distances(one: Floats, other: Floats, numeric: Flags, weights: Floats) -> Floats:
    """Squared weighted distances between the rows of two matrices of features."""
    scale = np.sqrt(weights[numeric])
    a, b = one[:, numeric] * scale, other[:, numeric] * scale
    found: Floats = np.sum(a * a, axis=1)[:, None] + np.sum(b * b, axis=1)[None, :] - 2 * (a @ b.T)
    np.maximum(found, 0.0, out=found)
    for column in np.flatnonzero(~numeric):
        found += weights[column] * (one[:, column, None] != other[None, :, column])
    return found


def matern(squared: Floats) -> Floats:
    """The correlation at a squared distance."""
    r = _ROOT5 * np.sqrt(squared)
    return (1 + r + r * r / 3) * np.exp(-r)


def matern_and_slope(squared: Floats) -> tuple[Floats, Floats]:
    """The correlation, and its derivative by the squared distance."""
    r = _ROOT5 * np.sqrt(squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -5 / 6 * (1 + r) * decay
