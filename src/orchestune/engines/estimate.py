"""Which of the configurations tried is best, where what was measured of them is noisy.

The best of many noisy values is the luckiest one as a rule. A Gaussian process that knows how noisy each is expects
less of a value that nothing near it supports. Its mean at the configurations tried decides, and one standard deviation
to the bad side: of two places that seem as good the one that it knows better is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestune.domain.metrics import Metric, objectives
from orchestune.domain.space import Space
from orchestune.domain.trial import Observation
from orchestune.engines.cube import Cube, Floats
from orchestune.engines.evidence import Entry, beaten, entry, gathered, thinned
from orchestune.engines.fitting import fit
from orchestune.engines.history import best
from orchestune.engines.posterior import Posterior

LEAST = 10
"""results below which a model says nothing"""
_FITTED, _MODELLED = 150, 250
"""results that the scales are fitted to, and that the model is made of: the best and an even selection of the others"""


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
    place = int(np.where(kept, losses + deviations, np.inf).argmin())
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
    columns: list[Floats] = []
    for place in range(len(objectives(metrics))):
        alone = [_alone(item, place) for item in entries]
        expected = _expected(cube, alone) if place in noisy else None
        raw = np.array([item.losses[0] for item in alone if item.losses])
        columns.append(raw if expected is None else expected[0] + expected[1])
    kept = [place for place, item in enumerate(entries) if item.feasible]
    points = np.stack(columns, axis=1)[kept]
    if not kept:
        return None
    return sorted(ranked[place][1] for place, worse in zip(kept, beaten(points).tolist(), strict=True) if not worse)


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


def _expected(cube: Cube, entries: Sequence[Entry]) -> tuple[Floats, Floats] | None:
    """Of entries with one loss each: the losses that a process expects, and their standard deviations.

    None where all losses are equal.
    """
    evidence = gathered(entries, cube.width, "plain", (1.0,))
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    scale = _scale(losses, evidence.values)
    if scale is None:
        return None
    few = gathered(thinned(entries, _FITTED), cube.width, "plain", (1.0,))
    scales = fit(cube.features(few.points), few, cube.numeric)
    features = cube.features(evidence.points)
    posterior = Posterior(scales, features, evidence.values, evidence.noise(scales), features[:0], cube.numeric)
    means, deviations = posterior.at(features)
    low = int(losses.argmin())
    return losses[low] + (means - evidence.values[low]) * scale, deviations * scale


def _scale(losses: Floats, values: Floats) -> float | None:
    """By what differences on the model's scale are multiplied to become losses; None where all are equal.

    Both ends are below the upper quartile, where nothing is cut.
    """
    order = np.argsort(losses, kind="stable")
    low, high = order[0], order[int(0.75 * (len(order) - 1))]
    apart = float(values[high] - values[low])
    return float(losses[high] - losses[low]) / apart if apart > 0 else None
