"""Fits the scales (hyperparameters) of a Gaussian process by maximum a posteriori."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.optimize import minimize
from scipy.special import ndtri
from scipy.stats import rankdata

from orchestune.engines.models.cube import Flags, Floats
from orchestune.engines.models.kernel import Scales, matern_and_slope, squared_differences, sum_and_slopes
from orchestune.engines.models.training_data import TrainingData

JITTER = 1e-8
MAX_ADDITIVE_COORDINATES = 32
"""coordinates up to which the additive part is used; with more it takes too long"""
_MAX_ARRAY_ELEMENTS = 4_000_000  # array elements of a fit
_ITERATIONS = 60
_LENGTH_SPREAD = math.sqrt(3.0)  # prior of Hvarfner et al. (2024); its mean grows with the dimensions
_NOISE_MEAN, _NOISE_SPREAD = -5.0, 2.0
_SINGLE_MEAN, _SINGLE_SPREAD = -1.2, 1.0  # prior of the length scales of the additive part
_SINGLE_ITERATIONS = 40
_TRUST_SPREAD = 2.0
_BOUNDS_LENGTH, _BOUNDS_AMPLITUDE, _BOUNDS_NOISE = (-5.0, 8.0), (-5.0, 5.0), (-16.0, 2.0)
_BOUNDS_TRUST = (-9.0, 0.0)  # noise above the reported is attributed to the common noise
_STARTS = (0.0, -1.5)
"""offsets of the optimizer's starting points from the prior mean of the log length scales"""
_SHORT = -3.0
"""an additional starting point if trials report noise: the others rely on the reports and may end with noise alone"""
_CLEARLY = 1.0
"""the result of that start must have a log posterior higher by this: it may also overfit a lucky value"""


def max_fit_points(dimension: int) -> int:
    """Return the maximum number of points of a fit: time and memory allow fewer with many coordinates."""
    return int((_MAX_ARRAY_ELEMENTS / max(1, dimension)) ** 0.5)


def fit(
    features: Floats,
    training: TrainingData,
    numeric: Flags,
    *,
    additive: bool = False,
    quick: bool = True,
    most_noise: float | None = None,
) -> Scales:
    """Return the scales for the standardized values at `features`.

    `additive`: add a sum of functions of one coordinate each to the function of all. With `quick` it is fitted from one
    start only, and may take interactions for noise. `most_noise`: the upper bound of the common noise's variance.
    """
    target = _Target(squared_differences(features, numeric), training, additive)
    if most_noise is not None:
        target.limit_noise(most_noise)
    best = min(
        (_searched(target, additive, shift) for shift in (_STARTS[:1] if additive and quick else _STARTS)),
        key=lambda result: float(result.fun),
    )
    if target.trusts:
        short = _searched(target, additive, _SHORT)
        best = short if short.fun < best.fun - _CLEARLY else best
    return target.scales(best.x)


def beyond_chance(features: Floats, training: TrainingData, numeric: Flags, *, additive: bool = False) -> bool:
    """Return True if a process explains the values better than noise alone.

    Uses the ranks, transformed to normal scores (van der Waerden, 1952), so that neither an unusual distribution of the
    noise nor the reported noise passes for a signal.
    """
    count = len(training.values)
    values = ndtri((rankdata(training.values) - 0.5) / count)
    if not np.ptp(values):
        return False
    ranked = replace(training, values=values / values.std(), reported=np.zeros(count))
    target = _Target(squared_differences(features, numeric), ranked, additive)
    return any(_searched(target, additive, shift, count / 2).fun < count / 2 for shift in _STARTS)


def _searched(target: _Target, additive: bool, shift: float, enough: float = -math.inf) -> Any:
    """Return the optimum from one start, or the first iterate with a target below `enough`."""

    def stop(intermediate_result: Any) -> None:
        if intermediate_result.fun < enough:
            raise StopIteration

    return minimize(
        target,
        target.start(shift),
        jac=True,
        method="L-BFGS-B",
        bounds=target.bounds,
        callback=stop,
        options={"maxiter": _SINGLE_ITERATIONS if additive else _ITERATIONS, "ftol": 1e-6},
    )


class _Target:
    """The negative log posterior and its gradient, as a function of the logarithms of the scales.

    Order: length scales, amplitude, noise; if additive, length scales of the single coordinates and their amplitude; if
    trials report noise, `Scales.trust`: the factor on the reported variances.
    """

    def __init__(self, differences: Floats, training: TrainingData, additive: bool = False) -> None:
        self._width = width = len(differences)
        self._differences, self._values, self._training = differences.reshape(width, -1), training.values, training
        self._distances = np.sqrt(differences) if additive else None
        length = math.sqrt(2.0) + 0.5 * math.log(max(1, width))
        single, amplitude = ([_SINGLE_MEAN] * width + [0.0], [0.0]) if additive else ([], [0.0])
        means = [length] * width + amplitude + [_NOISE_MEAN] + single
        spreads = (
            [_LENGTH_SPREAD] * width + [1.0, _NOISE_SPREAD] + ([_SINGLE_SPREAD] * width + [1.0] if additive else [])
        )
        self.bounds = [_BOUNDS_LENGTH] * width + [_BOUNDS_AMPLITUDE, _BOUNDS_NOISE]
        self.bounds += [_BOUNDS_LENGTH] * width + [_BOUNDS_AMPLITUDE] if additive else []
        self._single = slice(width + 2, 2 * width + 2)
        self.trusts = bool(training.reported.any())
        if self.trusts:
            means, spreads = [*means, 0.0], [*spreads, _TRUST_SPREAD]
            self.bounds.append(_BOUNDS_TRUST)
        self._means, self._spreads = np.array(means), np.array(spreads)

    def limit_noise(self, most: float) -> None:
        """Set the upper bound of the common noise's variance."""
        least, largest = _BOUNDS_NOISE
        self.bounds[self._width + 1] = (least, min(max(math.log(most), least), largest))

    def start(self, shift: float) -> Floats:
        """Return a starting point: the prior means, with the log length scales shifted."""
        point = self._means.copy()
        point[: self._width] += shift
        return point

    def scales(self, logs: Floats) -> Scales:
        """Return the scales of a vector of logarithms."""
        width = self._width
        weights, amplitude, noise = np.exp(-2 * logs[:width]), math.exp(logs[width]), math.exp(logs[width + 1])
        trust = math.exp(logs[-1]) if self.trusts else 1.0
        if self._distances is None:
            return Scales(weights, amplitude, noise, trust=trust)
        single = self._single
        return Scales(weights, amplitude, noise, np.exp(-logs[single]), math.exp(logs[single.stop]), trust)

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        count, width = len(self._values), self._width
        scales = self.scales(logs)
        correlation, slope = matern_and_slope((scales.weights @ self._differences).reshape(count, count))
        covariance = scales.amplitude * correlation
        if self._distances is not None:
            assert scales.single is not None
            total, slopes = sum_and_slopes(self._distances, scales.single)
            covariance += scales.single_amplitude * total
        covariance.flat[:: count + 1] += scales.noise + self._training.noise(scales) + JITTER
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
            gradient[self._single] -= 0.5 * scales.single_amplitude * (slopes.reshape(width, -1) @ inner.ravel())
            gradient[self._single.stop] -= 0.5 * scales.single_amplitude * np.sum(inner * total)
        if self.trusts:
            gradient[-1] -= 0.5 * scales.trust * self._training.reported @ inner.diagonal()
        return float(value), gradient
