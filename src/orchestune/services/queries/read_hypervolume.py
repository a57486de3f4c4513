"""Dominated hypervolume of multi-objective experiments over the finished trials.

All values are losses: smaller is better.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from orchestune.documents import Hypervolume
from orchestune.domain.specification.metrics import objectives
from orchestune.errors import UsageError
from orchestune.services.core import Core
from orchestune.services.memory.lru_cache import Recent
from orchestune.services.memory.trial_columns import Numbers, Places, TrialColumns
from orchestune.store.experiments import ExperimentRow

_PLACES = 20_000
"""Monte Carlo samples for three or more objectives: the error is about half a percent of the box's volume."""
_VOLUMES: Recent[Hypervolume] = Recent()
_MARGIN = 0.1
"""Distance of the reference point behind the front, as a share of the front's width in each objective."""


def hypervolume(core: Core, ref: str) -> Hypervolume:
    """Return the dominated volume after each trial that increased it. Only trials that satisfy every limit count.

    The reference point is the threshold of each metric that has one, otherwise the result of `reference`. Raises
    UsageError for an experiment with a single objective.
    """
    row, columns = core.experiment_cache.columns(core.store, ref)
    optimized = objectives(row.specification.metrics)
    if len(optimized) < 2:
        raise UsageError(
            f"{row.handle} optimizes only {optimized[0].name}",
            "a hypervolume needs two or more metrics with a goal",
        )
    return _VOLUMES.get(row.cache_key, (row.event_seq, row.revision), lambda: _volumes(row, columns))


def _volumes(row: ExperimentRow, columns: TrialColumns) -> Hypervolume:
    optimized = objectives(row.specification.metrics)
    signs = np.array([-1.0 if metric.goal == "maximize" else 1.0 for metric in optimized])
    losses = signs * np.stack([columns.metrics[metric.name].array() for metric in optimized], axis=1)
    places = np.flatnonzero(columns.good(row.specification.metrics) & np.isfinite(losses).all(axis=1))
    names = [metric.name for metric in optimized]
    if not len(places):
        return {"metrics": names, "reference": None, "finished": [], "number": [], "value": []}
    points = losses[places]
    with np.errstate(over="ignore", invalid="ignore"):
        where = reference(points, undominated(points))
    for place, metric in enumerate(optimized):
        if metric.threshold is not None:
            where[place] = signs[place] * metric.threshold
    with np.errstate(over="ignore", invalid="ignore"):  # volumes of diverged losses may overflow
        steps = [(place, volume) for place, volume in growth(points, where) if np.isfinite(volume)]
    reached = places[[place for place, _ in steps]] if steps else places[:0]
    return {
        "metrics": names,
        "reference": dict(zip(names, (float(bound) for bound in signs * where), strict=True)),
        "finished": [int(place) + 1 for place in reached],
        "number": [int(number) for number in columns.number()[reached]],
        "value": [volume for _, volume in steps],
    }


def reference(points: Numbers, front: Numbers) -> Numbers:
    """Return the reference point: a tenth of the front's width behind it, or the median result if that is worse.

    So a single diverged result has no influence, and a front of one point still has a volume.
    """
    worst, best = front.max(axis=0), front.min(axis=0)
    point: Numbers = np.maximum(worst + _MARGIN * (worst - best), np.median(points, axis=0))
    return np.nan_to_num(point)


def undominated(points: Numbers) -> Numbers:
    """Return the distinct nondominated points (the Pareto front), shape (points, objectives)."""
    front: list[Numbers] = []
    ordered = np.unique(points, axis=0)  # in lexicographic order no point is dominated by a later one
    while len(ordered):
        front.append(ordered[0])
        ordered = ordered[1:][~(ordered[0] <= ordered[1:]).all(axis=1)]
    return np.array(front).reshape(-1, points.shape[1])


def growth(points: Numbers, reference: Numbers) -> Iterator[tuple[int, float]]:
    """Yield the index of each point that increases the volume, and the volume including it."""
    inside = np.flatnonzero((points < reference).all(axis=1))
    if len(inside):
        yield from (_area if points.shape[1] == 2 else _share)(points, inside, reference)


def _area(points: Numbers, inside: Places, reference: Numbers) -> Iterator[tuple[int, float]]:
    """Compute `growth` exactly for two objectives.

    A new point adds the area below the steps of the front that it dominates, up to the next step.
    """
    firsts, seconds = list[float](), list[float]()  # the front: first objective ascending, so the second descending
    right, height = reference.tolist()
    total = 0.0
    for place in inside:
        first, second = points[place].tolist()
        end = bisect_right(firsts, first)
        if end and seconds[end - 1] <= second:
            continue
        start = bisect_left(firsts, first)
        while end < len(firsts) and seconds[end] >= second:
            end += 1
        edges = [first, *firsts[start:end], firsts[end] if end < len(firsts) else right]
        heights = [seconds[start - 1] if start else height, *seconds[start:end]]
        total += sum((far - near) * (top - second) for (near, far), top in zip(pairwise(edges), heights, strict=True))
        firsts[start:end], seconds[start:end] = [first], [second]
        yield int(place), total


def _share(points: Numbers, inside: Places, reference: Numbers) -> Iterator[tuple[int, float]]:
    """Estimate `growth` for more objectives by random samples in the box; the exact volume takes too long."""
    corner = points[inside].min(axis=0)
    open_places = corner + (reference - corner) * np.random.default_rng(0).random((_PLACES, len(reference)))
    box = float(np.prod(reference - corner))
    for place in inside:
        covered = (points[place] <= open_places).all(axis=1)
        if covered.any():
            open_places = open_places[~covered]
            yield int(place), box * (1 - len(open_places) / _PLACES)
