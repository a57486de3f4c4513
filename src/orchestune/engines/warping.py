"""Losses on a scale that a Gaussian process likes: mean 0, standard deviation 1, no value that outweighs all others."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import numpy as np
from scipy.stats import yeojohnson

from orchestune.engines.cube import Floats

_log = logging.getLogger(__name__)

Warping = Literal["plain", "power"]

_OUTSIDE = 10.0
"""times the middle half's width above it a loss is cut: divergence is bad, how bad does not matter"""


def warped(losses: Floats, how: Warping) -> tuple[Floats, float]:
    """Finite losses on the new scale, and by what a small difference of losses is multiplied on the way.

    `plain` shifts and scales; `power` bends by the power (Yeo and Johnson, 2000) that makes them most like a normal
    distribution. Order is kept but for the cut.
    """
    values = _cut(losses)
    largest = float(np.abs(values).max(initial=0.0))
    unit = 1 / largest if largest > 0 and np.isfinite(1 / largest) else 1.0  # no sum of these overflows
    values = values * unit
    values, factor = _standardized(values)
    if how == "power" and factor > 0:
        values = _bent(values)
    return values, factor * unit


def _cut(losses: Floats) -> Floats:
    """Without values that are bad beyond measure, before any arithmetic in which the others would vanish beside them.

    The middle half is between two of the losses: of those that are far apart no mean is taken, which could be infinite.
    Where it has no width, that of the better half serves.
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
        warnings.simplefilter("ignore")  # a power that overflows is looked at below
        try:
            bent = np.asarray(yeojohnson(values)[0])
        except Exception:  # noqa: BLE001 (its search for the power may fail in several ways; the values do as they are)
            _log.warning("%d losses are not bent", len(values), exc_info=True)
            return values
    return _standardized(bent)[0] if np.isfinite(bent).all() and bent.std() > 1e-9 else values
