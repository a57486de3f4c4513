"""Which of the configurations tried is best, where what was measured of them is noisy.

The best of many noisy values is the luckiest one as a rule. A Gaussian process that knows how noisy each is expects
less of a value that nothing near it supports. Its mean at the configurations tried decides, and one standard deviation
to the bad side: of two places that seem as good the one that it knows better is taken.

What trials report bounds what it may take for noise. Else a few that diverged, of which no smooth function of the
parameters tells, make all differences noise, and what is clearly worse seems as good.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestune.domain.metrics import Metric, objectives
from orchestune.domain.space import Space
from orchestune.domain.trial import Observation
from orchestune.engines.cube import Cube, Flags, Floats
from orchestune.engines.evidence import Entry, entry, gathered, thinned
from orchestune.engines.fitting import fit, most_fitted
from orchestune.engines.history import best
from orchestune.engines.posterior import Posterior

LEAST = 10
"""results below which a model says nothing"""
_FITTED, _MODELLED = 150, 250
"""results that the scales are fitted to at most, and that the model is made of: the best and some of the others"""
_CLEAR = 3.0
"""joint reported standard deviations from which on a value is clearly worse than another one, whatever is expected"""
_COMMON = 10.0
"""times the reported variance that may be common to all beside it: scripts tell less noise than there is, too"""
_OUTSIDE = 3.0
"""times the middle half's width above it, and clearly worse than the best, a trial diverged: the model is without it"""
_CLIFF = 300.0
"""times what the better ones differ by: all beyond such a gap diverged, however many they are. Beside their values, as
1e9 for what failed, a model could not tell the others apart"""
_BETTER = 5
"""results, of which fewer may be alike by chance"""
_HUGE = 1e300
"""losses beyond which differ by more than there are numbers for"""


@dataclass(frozen=True)
class Estimate:
    """What is expected of a trial's configuration in the first metric, and the standard deviation of that."""

    number: int
    value: float
    stddev: float


def best_estimate(space: Space, metrics: Sequence[Metric], history: Sequence[Observation]) -> Estimate | None:
    """Of the trials that keep every limit the one that is best even if it is a standard deviation worse than expected.

    None where nothing says how noisy it is, with several objectives, and with fewer than `LEAST` results.
    """
    cube, optimized = Cube(space), objectives(metrics)
    known = _known(cube, metrics, history)
    if len(optimized) > 1 or len(known) < LEAST or not any(item.deviations[0] > 0 for item in known.values()):
        return None
    numbers = {id(item): number for number, item in known.items()}
    entries = thinned(list(known.values()), _MODELLED)
    kept = np.array([item.feasible for item in entries])
    expected = _expected(cube, entries)
    if not kept.any() or expected is None:
        return None
    losses, deviations = expected
    behind = np.any(_clearly_worse(entries) & kept, axis=1)
    place = int(np.where(kept & ~behind, losses / 2 + deviations / 2, np.inf).argmin())  # halves: of any size
    value = float(losses[place]) if optimized[0].goal == "minimize" else -float(losses[place])
    return Estimate(numbers[id(entries[place])], value, float(deviations[place]))


def expected_front(space: Space, metrics: Sequence[Metric], history: Sequence[Observation]) -> list[int] | None:
    """Of several objectives the trials that no other one beats in all, each a standard deviation worse than expected.

    A process for each metric that says how noisy it is; the others count as they are. Only trials that keep every
    limit, of many the least beaten ones. None where nothing says how noisy it is, and with fewer than `LEAST` results.
    """
    cube = Cube(space)
    known = _known(cube, metrics, history)
    noisy = {place for item in known.values() for place, deviation in enumerate(item.deviations) if deviation > 0}
    if len(objectives(metrics)) < 2 or len(known) < LEAST or not noisy:
        return None
    ranked = best([(item.losses or (), number, item) for number, item in known.items()], _MODELLED)
    entries = [item for _, _, item in ranked]
    kept = [place for place, item in enumerate(entries) if item.feasible]
    if not kept:
        return None
    columns: list[Floats] = []
    measured: list[Floats] = []
    clearly: list[Flags] = []
    for place in range(len(objectives(metrics))):
        alone = [_alone(item, place) for item in entries]
        expected = _expected(cube, alone) if place in noisy else None
        raw = np.array([item.losses[0] for item in alone if item.losses])
        columns.append((raw if expected is None else expected[0] / 2 + expected[1] / 2)[kept])
        measured.append(raw[kept])
        clearly.append(_clearly_worse([alone[index] for index in kept]))
    worse = _beaten(np.stack(columns), np.stack(measured), np.stack(clearly))
    return sorted(ranked[place][1] for place, beaten in zip(kept, worse.tolist(), strict=True) if not beaten) or None


def _beaten(expected: Floats, measured: Floats, clearly: Flags) -> Flags:
    """Which are beaten by what is expected, but for those that are clearly better in a metric; or as they are, clearly.

    All by metric; `clearly` has what is worse, than what.
    """
    as_good = np.all(expected[:, None] <= expected[:, :, None], axis=0) & ~np.any(clearly, axis=0).T
    better = np.any(expected[:, None] < expected[:, :, None], axis=0)
    as_measured = np.all(measured[:, None] <= measured[:, :, None], axis=0) & np.any(clearly, axis=0)
    found: Flags = np.any((as_good & better) | as_measured, axis=1)
    return found


def _known(cube: Cube, metrics: Sequence[Metric], history: Sequence[Observation]) -> dict[int, Entry]:
    known: dict[int, Entry] = {}
    for observation in history:
        found = entry(cube, metrics, observation)
        if found is not None and found.losses is not None:
            known[observation.number] = found
    return known


def _alone(item: Entry, place: int) -> Entry:
    """With one of its losses only."""
    assert item.losses is not None
    return replace(item, losses=(item.losses[place],), deviations=(item.deviations[place],))


def _clearly_worse(entries: Sequence[Entry]) -> Flags:
    """Of entries with one loss each: which (row) are worse than which (column) by many deviations."""
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    spread = _spread(entries)
    with np.errstate(over="ignore"):
        found: Flags = losses[:, None] - losses > _CLEAR * np.hypot(spread[:, None], spread)
    return found


def _spread(entries: Sequence[Entry]) -> Floats:
    """The reported standard deviations, none less than what is usual: a few folds may agree by chance."""
    reported = np.array([item.deviations[0] for item in entries])
    told = reported[reported > 0]
    return np.maximum(reported, np.median(told)) if len(told) else reported


def _expected(cube: Cube, entries: Sequence[Entry]) -> tuple[Floats, Floats] | None:
    """Of entries with one loss each: the losses that a process expects, and their standard deviations.

    Those that diverged count as they are. None where all others are equal, or few.
    """
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    worst = _worst(losses, float(np.median(_spread(entries))))
    if worst is None:
        return None
    sane = losses <= worst
    modelled = _modelled(cube, [item for item, kept in zip(entries, sane.tolist(), strict=True) if kept])
    if modelled is None:
        return None
    expected, deviations = losses.copy(), np.zeros(len(losses))
    expected[sane], deviations[sane] = modelled
    return expected, deviations


def _worst(losses: Floats, spread: float) -> float | None:
    """The loss beyond which trials diverged; None where that leaves fewer than `LEAST` below a cliff.

    Where the others differ by less than is reported as noise, the model needs all of them, up to a cliff: without what
    is far worse it would see nothing but noise.
    """
    ordered, most = np.sort(losses), math.inf
    with np.errstate(over="ignore"):
        below = np.maximum(ordered - ordered[0], spread)
        cliffs = np.flatnonzero(np.diff(ordered)[_BETTER - 1 :] > _CLIFF * below[_BETTER - 1 : -1])
        if len(cliffs):
            ordered = ordered[: _BETTER + cliffs[0]]
            most = float(ordered[-1])
            if len(ordered) < LEAST:
                return None
        place = (len(ordered) - 1) // 4
        low, high = ordered[place], ordered[-place - 1]
        if high - low < _CLEAR * spread:
            return most
        return min(most, max(float(high + _OUTSIDE * (high - low)), float(ordered[0] + 2 * _CLEAR * spread)))


def _modelled(cube: Cube, entries: Sequence[Entry]) -> tuple[Floats, Floats] | None:
    evidence = gathered(entries, cube.width, "plain", (1.0,))
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    unit = _HUGE if np.abs(losses).max() > _HUGE else 1.0
    losses /= unit  # no difference of these overflows
    scale = _scale(losses, evidence.values)
    if scale is None:
        return None
    few = gathered(thinned(entries, min(_FITTED, most_fitted(cube.width))), cube.width, "plain", (1.0,))
    told = few.reported[few.reported > 0]
    most = _COMMON * float(np.median(told)) if len(told) else None
    scales = fit(cube.features(few.points), few, cube.numeric, most_noise=most)
    features = cube.features(evidence.points)
    posterior = Posterior(scales, features, evidence.values, evidence.noise(scales), features[:0], cube.numeric)
    means, deviations = posterior.at(features)
    low = int(losses.argmin())
    expected = losses[low] + (means - evidence.values[low]) * scale
    return _times(unit, expected), _times(unit, deviations * scale)


def _times(unit: float, values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.clip(values * unit, -sys.float_info.max, sys.float_info.max)


def _scale(losses: Floats, values: Floats) -> float | None:
    """By what differences on the model's scale are multiplied to become losses; None where all are equal.

    Both ends are below the upper quartile, where nothing is cut.
    """
    order = np.argsort(losses, kind="stable")
    low, high = order[0], order[int(0.75 * (len(order) - 1))]
    apart = float(values[high] - values[low])
    return float(losses[high] - losses[low]) / apart if apart > 0 else None
