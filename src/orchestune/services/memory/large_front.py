"""Pareto fronts of many trials by NumPy, for `pareto.py`.

`domain.specification.metrics.pareto_front` compares pairs of trials in Python: with three objectives and 2,500 trials
on the front it took 3 s after each new result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orchestune.domain.specification.metrics import Metric, feasible, objectives

Losses = NDArray[np.float64]
"""shape (objectives, trials)"""


def extended(
    metrics: Sequence[Metric], front: Mapping[int, Mapping[str, float]], new: Mapping[int, Mapping[str, float]]
) -> list[int]:
    """Return the same as `pareto_front` of all these trials: the sorted numbers of the nondominated ones.

    The trials of `front` must not dominate each other. Each new trial takes time in proportion to the length of the
    front; NumPy releases the GIL while it compares long ones.
    """
    optimized = objectives(metrics)
    candidates = [(number, values) for number, values in new.items() if feasible(metrics, values)]
    known, others = _losses(optimized, [*front.items()]), _losses(optimized, candidates)
    is_finite = np.isfinite(others).all(axis=0)
    numbers = np.array([number for number, _ in candidates], dtype=np.int64)[is_finite]
    others = others[:, is_finite]
    order = np.lexsort((numbers, *others[::-1]))  # of equal trials the first one comes first
    members = np.fromiter(front, np.int64, len(front))
    return sorted(_inserted(members, known, numbers[order], others[:, order]))


def _losses(optimized: Sequence[Metric], trials: Sequence[tuple[int, Mapping[str, float]]]) -> Losses:
    """Return the values as losses; NaN if absent."""
    signs = [1.0 if metric.goal == "minimize" else -1.0 for metric in optimized]
    nan = float("nan")
    rows = [
        [sign * values.get(metric.name, nan) for _, values in trials]
        for sign, metric in zip(signs, optimized, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(optimized), len(trials))


def _inserted(members: NDArray[np.int64], known: Losses, numbers: NDArray[np.int64], losses: Losses) -> list[int]:
    """Return the members of the front after each trial was inserted that no member dominates."""
    count, room = len(members), len(members) + len(numbers)
    kept, points = np.empty(room, np.int64), np.empty((len(known), room))
    kept[:count], points[:, :count] = members, known
    for number, loss in zip(numbers, losses.T, strict=True):
        present = points[:, :count]
        as_good = _all(np.less_equal, present, loss)
        if as_good.any():
            equal = np.flatnonzero(as_good & _all(np.equal, present, loss))
            if len(equal):
                kept[equal[0]] = min(kept[equal[0]], number)
            continue
        stays = ~_all(np.greater_equal, present, loss)
        if not stays.all():
            survivors = int(stays.sum())
            kept[:survivors], points[:, :survivors] = kept[:count][stays], present[:, stays]
            count = survivors
        kept[count], points[:, count] = number, loss
        count += 1
    return [int(number) for number in kept[:count]]


def _all(compare: np.ufunc, points: Losses, loss: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask of the points for which the comparison holds in all objectives."""
    holds: NDArray[np.bool_] = np.ones(points.shape[1], bool)
    for row, bound in zip(points, loss, strict=True):
        holds &= compare(row, bound)
    return holds
