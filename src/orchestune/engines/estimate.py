"""Which of the configurations tried is best, where what was measured of them is noisy.

The best of many noisy values is the luckiest one as a rule. A Gaussian process that knows how noisy each is expects
less of a value that nothing near it supports. Its mean at the configurations tried decides, and one standard deviation
to the bad side: of two places that seem as good the one that it knows better is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestune.domain.metrics import Metric, objectives
from orchestune.domain.space import Space
from orchestune.domain.trial import Observation
from orchestune.engines.cube import Cube, Floats
from orchestune.engines.evidence import Entry, entry, gathered, thinned
from orchestune.engines.fitting import fit
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
    known: dict[int, Entry] = {}
    for observation in history:
        found = entry(cube, metrics, observation)
        if found is not None and found.losses is not None:
            known[observation.number] = found
    if len(optimized) > 1 or len(known) < LEAST or not any(item.deviations[0] > 0 for item in known.values()):
        return None
    numbers = {id(item): number for number, item in known.items()}
    entries = thinned(list(known.values()), _MODELLED)
    kept = np.array([item.feasible for item in entries])
    evidence = gathered(entries, cube.width, "plain", (1.0,))
    losses = np.array([item.losses[0] for item in entries if item.losses is not None])
    scale = _scale(losses, evidence.values)
    if not kept.any() or scale is None:
        return None
    few = gathered(thinned(entries, _FITTED), cube.width, "plain", (1.0,))
    scales = fit(cube.features(few.points), few.values, few.variances, cube.numeric)
    features = cube.features(evidence.points)
    posterior = Posterior(scales, features, evidence.values, evidence.variances, features[:0], cube.numeric)
    means, deviations = posterior.at(features)
    place = int(np.where(kept, means + deviations, np.inf).argmin())
    low = int(losses.argmin())
    loss = float(losses[low] + (means[place] - evidence.values[low]) * scale)
    value = loss if optimized[0].goal == "minimize" else -loss
    return Estimate(numbers[id(entries[place])], value, float(deviations[place] * scale))


def _scale(losses: Floats, values: Floats) -> float | None:
    """By what differences on the model's scale are multiplied to become losses; None where all are equal.

    Both ends are below the upper quartile, where nothing is cut.
    """
    order = np.argsort(losses, kind="stable")
    low, high = order[0], order[int(0.75 * (len(order) - 1))]
    apart = float(values[high] - values[low])
    return float(losses[high] - losses[low]) / apart if apart > 0 else None
