"""Which parameters a metric depends on.

Functional analysis of variance (Hutter, Hoos and Leyton-Brown, ICML 2014) with a Gaussian process in the place of the
forest: how much of what it expects changes where one parameter alone is drawn anew, over the whole space (the total
effect of Homma and Saltelli, 1996, as Jansen, 1999, estimates it). A search looks where it expects good values, so that
a measure which compares its good trials with all of them sees least of what the search has learnt best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from orchestune.domain.findings import ENOUGH
from orchestune.domain.metrics import Metric
from orchestune.domain.space import Space
from orchestune.domain.trial import Observation
from orchestune.engines.cube import Cube, Floats, stacked
from orchestune.engines.evidence import Entry, entry, gathered, thinned
from orchestune.engines.fitting import MOST_SINGLES, beyond_chance, fit, most_fitted
from orchestune.engines.posterior import Posterior

_FITTED, _MODELLED = 150, 250
"""completed trials that the scales are fitted to, and that the model is made of: the best and an even selection"""
_DRAWS, _LOOKS = 512, 20_000
"""points whose parameters are drawn anew, and places that the model is asked about at most"""
_TRIES = 8
_TIED = 0.9
"""of so many points a parameter cannot be drawn anew: constraints tie it to others"""
_GROUPS, _IN_GROUP = 10, 10


def importance(space: Space, metric: Metric, history: Sequence[Observation]) -> dict[str, float]:
    """The share of each parameter, the largest first; together they are 1. Empty where nothing can be said: of fewer
    than `ENOUGH` completed trials, and of values that a process explains no better than chance.

    A parameter that does not apply in a part of the space changes nothing there. What constraints do not allow counts
    for nothing.
    """
    cube, alone = Cube(space), [replace(metric, limit=None, optimized=True)]
    found = [entry(cube, alone, seen) for seen in history]
    entries = [item for item in found if item is not None and item.losses is not None]
    if len(entries) < ENOUGH or len({item.losses for item in entries}) < 2:
        return {}
    known = ~np.isnan(stacked([item.point for item in entries], cube.width)).all(axis=0)
    effects = np.where(known, _total_effects(cube, entries), 0.0)
    total = float(effects.sum())
    if not (np.isfinite(total) and total > 0):
        return {}
    shares = {parameter.name: float(effects[place]) / total for place, parameter in enumerate(space.parameters)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _total_effects(cube: Cube, entries: Sequence[Entry]) -> Floats:
    most = most_fitted(cube.width)
    with np.errstate(over="ignore", under="ignore"):
        few = gathered(thinned(entries, min(_FITTED, most)), cube.width, "plain", (1.0,))
        additive = cube.width <= MOST_SINGLES
        if not beyond_chance(cube.features(few.points), few, cube.numeric, additive=additive):
            return np.zeros(cube.width)
        scales = fit(cube.features(few.points), few, cube.numeric, additive=additive, quick=False)
        seen = gathered(thinned(entries, min(_MODELLED, most)), cube.width, "plain", (1.0,))
        features = cube.features(seen.points)
        model = Posterior(scales, features, seen.values, seen.noise(scales), features[:0], cube.numeric)
        count = max(50, min(_DRAWS, _LOOKS // (cube.width + 1)))
        random = np.random.default_rng(0)
        here = cube.uniform(count, random)
        there = cube.anywhere(len(here), random)
        expected = model.at(cube.features(here))[0]
        found, constrained = np.zeros(cube.width), cube.constrained()
        tries = min(max(_LOOKS // (len(here) * max(int(constrained.sum()), 1)), 1), _TRIES)
        for place in range(cube.width):
            moved, fixed = _moved(cube, here, there, place, random, tries if constrained[place] else 0)
            if fixed > _TIED * len(here):
                found[place] = _explained(cube.features(here)[:, place], expected)
            else:
                found[place] = float(((expected - model.at(cube.features(moved))[0]) ** 2).mean() / 2)
    return found


def _moved(
    cube: Cube, here: Floats, there: Floats, place: int, random: np.random.Generator, tries: int
) -> tuple[Floats, int]:
    """With this coordinate from `there`, or drawn anew where the constraints do not allow that beside the others; the
    same where none of so many tries was allowed, and how often that was so. No tries: whatever is drawn is allowed.
    """
    moved, left = here.copy(), np.arange(len(here))
    if not tries:
        moved[:, place] = there[:, place]
        return moved, 0
    for _ in range(tries):
        drawn = here[left]
        drawn[:, place] = there[: len(left), place]
        allowed = cube.allowed(drawn)
        moved[left[allowed]] = drawn[allowed]
        left = left[~allowed]
        if not len(left):
            break
        there = cube.anywhere(len(left), random)
    return moved, len(left)


def _explained(values: Floats, expected: Floats) -> float:
    """How much of the variance of what is expected the values of one parameter explain: their first-order effect.

    For those that constraints tie to others: where one is what the others leave of a sum, none can be drawn anew alone,
    and yet they matter.
    """
    groups = min(_GROUPS, len(values) // _IN_GROUP)
    if groups < 2:
        return 0.0
    places = np.unique(values, return_inverse=True)[1]
    if places.max() >= groups:
        places = np.argsort(np.argsort(values, kind="stable"), kind="stable") * groups // len(values)
    counts = np.bincount(places)
    means = np.bincount(places, expected) / np.maximum(counts, 1)
    within = float(((expected - means[places]) ** 2).sum())
    between = float((counts * (means - expected.mean()) ** 2).sum())
    chance = within / max(len(values) - len(counts), 1) * (len(counts) - 1)
    return max(between - chance, 0.0) / len(values)
