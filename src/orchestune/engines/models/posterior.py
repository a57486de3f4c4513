"""The posterior of a Gaussian process: means, standard deviations and expected improvement."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import erfcx, ndtr

from orchestune.engines.models.cube import Flags, Floats
from orchestune.engines.models.fitting import JITTER
from orchestune.engines.models.kernel import Scales, covariance

_MIN_VARIANCE = 1e-12
_FAR = -1e6


class Posterior:
    """Conditioned on `values` at `features` (one row each), and on pending points with their posterior mean as value.

    `variances`: noise per value, in addition to the common noise in `scales`.
    """

    def __init__(
        self, scales: Scales, features: Floats, values: Floats, variances: Floats, pending: Floats, numeric: Flags
    ) -> None:
        self._scales, self._numeric = scales, numeric
        self._features = np.concatenate([features, pending])
        matrix = covariance(self._features, self._features, numeric, scales)
        diagonal = np.concatenate([scales.noise + variances, np.full(len(pending), scales.noise)]) + JITTER
        matrix[np.diag_indices_from(matrix)] += diagonal
        observed_count = len(values)
        self._inverse_root = _inverse_root(matrix)
        # The leading block of a triangular root is the root of the leading block: the observed points only.
        root = self._inverse_root[:observed_count, :observed_count]
        mean = matrix[observed_count:, :observed_count] @ (root.T @ (root @ values))
        everything = np.concatenate([values, mean])
        self._alpha = self._inverse_root.T @ (self._inverse_root @ everything)
        self.expected = everything - diagonal * self._alpha
        """posterior means at its own points, pending ones last"""
        self.best = float(self.expected.min())

    def at(self, features: Floats) -> tuple[Floats, Floats]:
        """Return posterior means and standard deviations, without noise."""
        cross = covariance(features, self._features, self._numeric, self._scales)
        explained = cross @ self._inverse_root.T
        variance = self._scales.variance - np.einsum("ij,ij->i", explained, explained)
        return cross @ self._alpha, np.sqrt(np.maximum(variance, _MIN_VARIANCE))

    def log_improvement(self, features: Floats) -> Floats:
        """Return the log expected improvement over the best posterior mean (Ament et al., 2023)."""
        mean, deviation = self.at(features)
        log_values: Floats = np.log(deviation) + _log_improvement((self.best - mean) / deviation)
        return log_values


def _log_improvement(z: Floats) -> Floats:
    """Return log(density(z) + z * distribution(z)), also if both underflow."""
    low = np.minimum(z, -1.0)
    ratio = erfcx(-np.maximum(low, _FAR) / math.sqrt(2)) * math.sqrt(math.pi / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(low > -1e3, np.log1p(np.maximum(low * ratio, -1 + 1e-16)), -2 * np.log(np.abs(low)))
    below = -0.5 * low * low - 0.5 * math.log(2 * math.pi) + tail
    high = np.maximum(z, -1.0)
    above = np.log(np.exp(-0.5 * high * high) / math.sqrt(2 * math.pi) + high * ndtr(high))
    return np.where(z > -1.0, above, below)


def _inverse_root(matrix: Floats) -> Floats:
    """Return the inverse of the lower Cholesky factor; jitter on the diagonal grows until the matrix has one."""
    jitter = 0.0
    while True:
        try:
            root = cholesky(matrix + jitter * np.eye(len(matrix)), lower=True, check_finite=False)
            break
        except LinAlgError:
            jitter = max(10 * jitter, 1e-6)
    inverse: Floats = solve_triangular(root, np.eye(len(matrix)), lower=True, check_finite=False)
    return inverse
