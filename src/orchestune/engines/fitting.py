"""The scales of a Gaussian process: those which are most probable given the points (maximum a posteriori)."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.optimize import minimize

from orchestune.engines.cube import Flags, Floats
from orchestune.engines.kernel import Scales, matern_and_slope, squared_differences, sum_and_slopes

JITTER = 1e-8
_ITERATIONS = 60
_LENGTH_SPREAD = math.sqrt(3.0)  # the prior of Hvarfner et al. (2024), which grows with the dimensions
_NOISE_MEAN, _NOISE_SPREAD = -5.0, 2.0
_SINGLE_MEAN, _SINGLE_SPREAD = -0.7, 1.0  # of the length scales of functions of one coordinate
_SINGLE_ITERATIONS = 40
_BOUNDS_LENGTH, _BOUNDS_AMPLITUDE, _BOUNDS_NOISE = (-5.0, 8.0), (-5.0, 5.0), (-16.0, 2.0)
_STARTS = (0.0, -1.5)
"""where the search for the length scales begins, from their prior's mean"""


def fit(features: Floats, values: Floats, variances: Floats, numeric: Flags, *, additive: bool = False) -> Scales:
    """Scales for standardized `values` at `features`; `variances` are known noise of each, added to the common one.

    `additive`: with a sum of functions of one coordinate each beside the function of all of them.
    """
    width = features.shape[1]
    target = _Target(squared_differences(features, numeric), values, variances, additive)
    found = [
        minimize(
            target,
            target.start(shift),
            jac=True,
            method="L-BFGS-B",
            bounds=target.bounds,
            options={"maxiter": _SINGLE_ITERATIONS if additive else _ITERATIONS, "ftol": 1e-6},
        )
        for shift in (_STARTS[:1] if additive else _STARTS)
    ]
    return target.scales(min(found, key=lambda result: float(result.fun)).x, width)


class _Target:
    """Minus the logarithm of the posterior, and its slope, by the logarithms of the scales.

    In this order: length scales, amplitude, noise; if additive length scales of the single coordinates, amplitude.
    """

    def __init__(self, differences: Floats, values: Floats, variances: Floats, additive: bool = False) -> None:
        self._width = width = len(differences)
        self._differences, self._values, self._variances = differences.reshape(width, -1), values, variances
        self._distances = np.sqrt(differences) if additive else None
        length = math.sqrt(2.0) + 0.5 * math.log(max(1, width))
        single, amplitude = ([_SINGLE_MEAN] * width + [0.0], [0.0]) if additive else ([], [0.0])
        self._means = np.array([length] * width + amplitude + [_NOISE_MEAN] + single)
        spreads = [_LENGTH_SPREAD] * width + [1.0, _NOISE_SPREAD]
        self._spreads = np.array(spreads + ([_SINGLE_SPREAD] * width + [1.0] if additive else []))
        self.bounds = [_BOUNDS_LENGTH] * width + [_BOUNDS_AMPLITUDE, _BOUNDS_NOISE]
        self.bounds += [_BOUNDS_LENGTH] * width + [_BOUNDS_AMPLITUDE] if additive else []

    def start(self, shift: float) -> Floats:
        """Where a search begins: the priors' means, with length scales shifted."""
        found = self._means.copy()
        found[: self._width] += shift
        return found

    @staticmethod
    def scales(logs: Floats, width: int) -> Scales:
        """What the logarithms stand for."""
        weights, amplitude, noise = np.exp(-2 * logs[:width]), math.exp(logs[width]), math.exp(logs[width + 1])
        if len(logs) == width + 2:
            return Scales(weights, amplitude, noise)
        return Scales(weights, amplitude, noise, np.exp(-logs[width + 2 : -1]), math.exp(logs[-1]))

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        count, width = len(self._values), self._width
        scales = self.scales(logs, width)
        correlation, slope = matern_and_slope((scales.weights @ self._differences).reshape(count, count))
        covariance = scales.amplitude * correlation
        if self._distances is not None:
            assert scales.single is not None
            total, slopes = sum_and_slopes(self._distances, scales.single)
            covariance += scales.single_amplitude * total
        covariance.flat[:: count + 1] += scales.noise + self._variances + JITTER
        try:
            root = cholesky(covariance, lower=True, check_finite=False)
        except LinAlgError:
            return 1e25, np.zeros_like(logs)
        alpha = cho_solve((root, True), self._values, check_finite=False)
        inner = np.outer(alpha, alpha) - cho_solve((root, True), np.eye(count), check_finite=False)
        centred = (logs - self._means) / self._spreads
        value = 0.5 * self._values @ alpha + np.log(root.diagonal()).sum() + 0.5 * centred @ centred
        gradient: Floats = centred / self._spreads
        gradient[:width] += scales.weights * (self._differences @ (scales.amplitude * slope * inner).ravel())
        gradient[width] -= 0.5 * scales.amplitude * np.sum(inner * correlation)
        gradient[width + 1] -= 0.5 * scales.noise * np.trace(inner)
        if self._distances is not None:
            gradient[width + 2 : -1] -= 0.5 * scales.single_amplitude * (slopes.reshape(width, -1) @ inner.ravel())
            gradient[-1] -= 0.5 * scales.single_amplitude * np.sum(inner * total)
        return float(value), gradient
