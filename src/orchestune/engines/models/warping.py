"""Transforms losses for a Gaussian process: mean 0, standard deviation 1, outliers clipped."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import numpy as np
from scipy.stats import yeojohnson

from orchestune.engines.models.cube import Floats

_log = logging.getLogger(__name__)

Warping = Literal["plain", "power"]

_OUTSIDE = 10.0
"""losses are clipped this many interquartile ranges above the upper quartile: the size of divergence is irrelevant"""


def warped(losses: Floats, how: Warping) -> tuple[Floats, float]:
    """Return the transformed losses (finite ones), and the factor by which a small difference of losses is scaled.

    `plain` shifts and scales; `power` applies the power transform (Yeo and Johnson, 2000) closest to a normal
    distribution. The order is preserved except for clipping.
    """
    values = _cut(losses)
    largest = float(np.abs(values).max(initial=0.0))
    unit = 1 / largest if largest > 0 and np.isfinite(1 / largest) else 1.0  # sums cannot overflow now
    values = values * unit
    values, factor = _standardized(values)
    if how == "power" and factor > 0:
        values = _bent(values)
    return values, factor * unit


def _cut(losses: Floats) -> Floats:
    """Clip extremely bad losses, before any arithmetic in which the others would vanish by rounding.

    The quartiles are elements of `losses`, not interpolated: an interpolation could overflow. If the interquartile
    range is 0, the range from the minimum to the upper quartile is used.
    """
    ordered = np.sort(losses)
    low, high = ordered[(len(ordered) - 1) // 4], ordered[-((len(ordered) - 1) // 4) - 1]
    with np.errstate(over="ignore"):
        width = high - (low if low < high else ordered[0])
        return np.minimum(losses, high + _OUTSIDE * width) if width > 0 else losses


def _standardized(values: Floats) -> tuple[Floats, float]:
    deviation = float(values.std())
    if not deviation > 1e-300:
        return np.zeros_like(values), 0.0
    return (values - values.mean()) / deviation, 1 / deviation


def _bent(values: Floats) -> Floats:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # an overflow is checked below
        try:
            bent = np.asarray(yeojohnson(values)[0])
        except (RuntimeError, ValueError):  # no bracket, or no finite bounds, for its exponent
            _log.warning("%d losses are not bent", len(values), exc_info=True)
            return values
    return _standardized(bent)[0] if np.isfinite(bent).all() and bent.std() > 1e-9 else values
