"""Parameter importance: which parameters a metric depends on.

Functional ANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) with a Gaussian process in place of the random forest: the
variance of its mean if one parameter alone is resampled, over the whole space (the total effect of Homma and Saltelli,
1996, with the estimator of Jansen, 1999). A search concentrates where it expects good values, so a measure that
compares its good trials with all of them would underrate exactly the parameters it has learned best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from orchestune.domain.search.findings import MIN_TRIALS
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.cube import Cube, Floats, stacked
from orchestune.engines.models.fitting import MAX_ADDITIVE_COORDINATES, beyond_chance, fit, max_fit_points
from orchestune.engines.models.posterior import Posterior
from orchestune.engines.models.training_data import TrainingPoint, regression_data, thinned, training_point

_FITTED, _MODELLED = 150, 250
"""completed trials used to fit the scales and to build the model: the best and an even selection of the others"""
_DRAWS, _LOOKS = 512, 20_000
"""points whose parameters are resampled, and the upper bound of model evaluations"""
_MAX_SAMPLES_PER_ROW = 8
_TIED = 0.9
"""share of points at which resampling fails from which on a parameter counts as tied to others by constraints"""
_GROUPS, _IN_GROUP = 10, 10


def importance(space: Space, metric: Metric, history: Sequence[Observation]) -> dict[str, float]:
    """Return the share of each parameter, largest first; they sum to 1.

    Empty with fewer than `ENOUGH` completed trials, or if a process explains the values no better than chance.

    An inactive parameter has no effect in that part of the space. Infeasible configurations do not count.
    """
    cube, alone = Cube(space), [replace(metric, limit=None, optimized=True)]
    points = [training_point(cube, alone, observation) for observation in history]
    entries = [item for item in points if item is not None and item.losses is not None]
    if len(entries) < MIN_TRIALS or len({item.losses for item in entries}) < 2:
        return {}
    used = ~np.isnan(stacked([item.coordinates for item in entries], cube.dimension)).all(axis=0)
    effects = np.where(used, _total_effects(cube, entries), 0.0)
    total = float(effects.sum())
    if not (np.isfinite(total) and total > 0):
        return {}
    shares = {parameter.name: float(effects[place]) / total for place, parameter in enumerate(space.parameters)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _total_effects(cube: Cube, entries: Sequence[TrainingPoint]) -> Floats:
    most = max_fit_points(cube.dimension)
    with np.errstate(over="ignore", under="ignore"):
        few = regression_data(thinned(entries, min(_FITTED, most)), cube.dimension, "plain", (1.0,))
        additive = cube.dimension <= MAX_ADDITIVE_COORDINATES
        if not beyond_chance(cube.features(few.points), few, cube.numeric, additive=additive):
            return np.zeros(cube.dimension)
        scales = fit(cube.features(few.points), few, cube.numeric, additive=additive, quick=False)
        training = regression_data(thinned(entries, min(_MODELLED, most)), cube.dimension, "plain", (1.0,))
        features = cube.features(training.points)
        model = Posterior(scales, features, training.values, training.noise(scales), features[:0], cube.numeric)
        count = max(50, min(_DRAWS, _LOOKS // (cube.dimension + 1)))
        random = np.random.default_rng(0)
        base = cube.uniform(count, random)
        resampled = cube.anywhere(len(base), random)
        expected = model.at(cube.features(base))[0]
        effects, constrained = np.zeros(cube.dimension), cube.constrained()
        tries = min(max(_LOOKS // (len(base) * max(int(constrained.sum()), 1)), 1), _MAX_SAMPLES_PER_ROW)
        for place in range(cube.dimension):
            moved, fixed = _moved(cube, base, resampled, place, random, tries if constrained[place] else 0)
            if fixed > _TIED * len(base):
                effects[place] = _explained(cube.features(base)[:, place], expected)
            else:
                effects[place] = float(((expected - model.at(cube.features(moved))[0]) ** 2).mean() / 2)
    return effects


def _moved(
    cube: Cube, points: Floats, resampled: Floats, place: int, random: np.random.Generator, tries: int
) -> tuple[Floats, int]:
    """Return the points with one coordinate resampled, from `there` or redrawn while infeasible, up to `tries` times.

    Points without a feasible draw stay unchanged; their number is the second result. `tries` = 0: all draws count as
    feasible.
    """
    moved, open_rows = points.copy(), np.arange(len(points))
    if not tries:
        moved[:, place] = resampled[:, place]
        return moved, 0
    for _ in range(tries):
        drawn = points[open_rows]
        drawn[:, place] = resampled[: len(open_rows), place]
        allowed = cube.allowed(drawn)
        moved[open_rows[allowed]] = drawn[allowed]
        open_rows = open_rows[~allowed]
        if not len(open_rows):
            break
        resampled = cube.anywhere(len(open_rows), random)
    return moved, len(open_rows)


def _explained(values: Floats, expected: Floats) -> float:
    """Return the variance of the expected values explained by one parameter: its first-order effect.

    Used for parameters tied to others by constraints: if they must have a fixed sum, none can be resampled alone, yet
    they matter.
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
