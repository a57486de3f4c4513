"""Maximizes an acquisition function: random points everywhere and near the best ones, then a local search.

The function has many local maxima, is flat in most of the space, and has no gradient with respect to choices and
conditions. So it is evaluated in batches of points (`Effort` has their numbers): uniform points of the feasible space,
mutations of the best trials with two widths, then hill climbing from the best of these with shrinking steps.

Invariants: every returned point is feasible and has no NaN; inactive coordinates of parents are filled with random
values first, so that a mutation may activate them. With the same random generator the result is the same, and the
number of evaluations does not depend on the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orchestune.engines.models.cube import Cube, Flags, Floats

Acquisition = Callable[[Floats], Floats]
"""features (rows) → values, larger is better"""


@dataclass(frozen=True)
class Effort:
    """Numbers of points evaluated in each phase."""

    everywhere: int = 1000
    near: int = 300
    close: int = 200
    climbers: int = 10
    children: int = 20
    steps: tuple[float, ...] = (0.1, 0.05, 0.025, 0.012, 0.008, 0.004)


_NEAR, _CLOSE = 0.15, 0.03
_FLIPS = 0.15
_MEAN_CHANGED_COORDINATES = 3.0
"""coordinates that half of the children change on average: in many dimensions changing all at once seldom helps"""


def ranked(
    cube: Cube, acquisition: Acquisition, parents: Floats, random: np.random.Generator, effort: Effort
) -> Floats:
    """Return points without NaN, highest acquisition first. `parents`: the best known points, NaN where inactive."""
    points = [cube.uniform(effort.everywhere, random)]
    if len(parents):
        for count, width in ((effort.near, _NEAR), (effort.close, _CLOSE)):
            chosen = parents[random.integers(len(parents), size=count)]
            children = mutated(cube, _filled(cube, chosen, random), width, random)
            points.append(children[cube.allowed(children)])  # parents may predate the constraints
    everything = np.concatenate(points)
    values = acquisition(cube.features(everything))
    top = np.argsort(-values, kind="stable")[: effort.climbers]
    climbers, heights = everything[top], values[top]
    for width in effort.steps:
        climbers, heights = _climbed(cube, acquisition, climbers, heights, width, random, effort.children)
    order = np.argsort(-heights, kind="stable")
    rest = np.argsort(-values, kind="stable")
    return np.concatenate([climbers[order], everything[rest]])


def _climbed(
    cube: Cube,
    acquisition: Acquisition,
    climbers: Floats,
    heights: Floats,
    width: float,
    random: np.random.Generator,
    children: int,
) -> tuple[Floats, Floats]:
    """Replace each climber by its best child if that is higher; return the points and their values."""
    offspring = mutated(cube, np.repeat(climbers, children, axis=0), width, random)
    values = acquisition(cube.features(offspring)).reshape(len(climbers), children)
    best = values.argmax(axis=1)
    rows = np.arange(len(climbers))
    better = values[rows, best] > heights
    chosen = offspring.reshape(len(climbers), children, -1)[rows, best]
    return np.where(better[:, None], chosen, climbers), np.where(better, values[rows, best], heights)


def mutated(cube: Cube, points: Floats, width: float, random: np.random.Generator) -> Floats:
    """Return children of the points: numbers moved by about `width`, at least one step, and choices sometimes flipped.

    A child that violates the constraints is replaced by its parent.
    """
    shape = points.shape
    share = np.where(random.random((shape[0], 1)) < 0.5, 1.0, min(1.0, _MEAN_CHANGED_COORDINATES / max(1, shape[1])))
    touched = random.random(shape) < share
    moves = random.standard_normal(shape) * np.maximum(width, 0.7 * cube.spacing())
    moved = np.where(touched & cube.numeric, points + moves, points)
    flips = touched & ~cube.numeric & (random.random(shape) < _FLIPS)
    drawn = np.floor(random.random(shape) * np.maximum(cube.sizes, 1))
    snapped = cube.snapped(np.where(flips, drawn, moved))
    return np.where(cube.allowed(snapped)[:, None], snapped, points)


def _filled(cube: Cube, points: Floats, random: np.random.Generator) -> Floats:
    missing: Flags = np.isnan(points)
    drawn = cube.uniform(len(points), random) if missing.any() else cube.anywhere(len(points), random)
    return np.where(missing, drawn[np.arange(len(points)) % len(drawn)], points)
