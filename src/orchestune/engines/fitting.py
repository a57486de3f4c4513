"""The scales of a Gaussian process: those which are most probable given the points (maximum a posteriori)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.optimize import minimize

from orchestune.engines.cube import Flags, Floats
from orchestune.engines.kernel import matern_and_slope, squared_differences

JITTER = 1e-8
_ITERATIONS = 60
_LENGTH_SPREAD = math.sqrt(3.0)  # the prior of Hvarfner et al. (2024), which grows with the dimensions
_NOISE_MEAN, _NOISE_SPREAD = -5.0, 2.0
_BOUNDS_LENGTH, _BOUNDS_AMPLITUDE, _BOUNDS_NOISE = (-5.0, 8.0), (-5.0, 5.0), (-16.0, 2.0)
_STARTS = (0.0, -1.5)
"""where the search for the length scales begins, from their prior's mean"""


@dataclass(frozen=True)
class Scales:
    """What a Gaussian process is made with, beside its points."""

    weights: Floats
    """by coordinate: the inverse of the squared length scale"""
    amplitude: float
    noise: float
    """variance"""


def fit(features: Floats, values: Floats, variances: Floats, numeric: Flags) -> Scales:
    """Scales for standardized `values` at `features`; `variances` are known noise of each, added to the common one."""
    width = features.shape[1]
    differences = squared_differences(features, numeric).reshape(width, -1)
    target = _Target(differences, values, variances)
    bounds = [_BOUNDS_LENGTH] * width + [_BOUNDS_AMPLITUDE, _BOUNDS_NOISE]
    found = [
        minimize(
            target,
            np.array([target.length_mean + start] * width + [0.0, _NOISE_MEAN]),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _ITERATIONS, "ftol": 1e-6},
        )
        for start in _STARTS
    ]
    best = min(found, key=lambda result: float(result.fun)).x
    return Scales(np.exp(-2 * best[:-2]), math.exp(best[-2]), math.exp(best[-1]))


class _Target:
    """Minus the logarithm of the posterior, and its slope, by the logarithms of length scales, amplitude and noise."""

    def __init__(self, differences: Floats, values: Floats, variances: Floats) -> None:
        self._differences, self._values, self._variances = differences, values, variances
        self.length_mean = math.sqrt(2.0) + 0.5 * math.log(max(1, len(differences)))

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        count = len(self._values)
        weights, amplitude, noise = np.exp(-2 * logs[:-2]), math.exp(logs[-2]), math.exp(logs[-1])
        correlation, slope = matern_and_slope((weights @ self._differences).reshape(count, count))
        covariance = amplitude * correlation
        covariance.flat[:: count + 1] += noise + self._variances + JITTER
        try:
            root = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            return 1e25, np.zeros_like(logs)
        alpha = cho_solve((root, True), self._values, check_finite=False)
        inner = np.outer(alpha, alpha) - cho_solve((root, True), np.eye(count), check_finite=False)
        centred = np.concatenate([(logs[:-2] - self.length_mean) / _LENGTH_SPREAD, [logs[-2]],
                                  [(logs[-1] - _NOISE_MEAN) / _NOISE_SPREAD]])  # fmt: skip
        value = 0.5 * self._values @ alpha + np.log(root.diagonal()).sum() + 0.5 * centred @ centred
        gradient = np.empty_like(logs)
        gradient[:-2] = weights * (self._differences @ (amplitude * slope * inner).ravel())
        gradient[:-2] += centred[:-2] / _LENGTH_SPREAD
        gradient[-2] = -0.5 * amplitude * np.sum(inner * correlation) + centred[-2]
        gradient[-1] = -0.5 * noise * np.trace(inner) + centred[-1] / _NOISE_SPREAD
        return float(value), gradient
