"""Measure the quality of the trial that `best` shows of a noisy search, with a right and a wrong reported noise.

Bowls of two parameters, 50 results each, of which 30 are near the bottom, as a search leaves them.
"""

from __future__ import annotations

import random
from statistics import fmean

from benchmarks import table
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.estimate import best_estimate

SPACE = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
LOSS = (Metric("loss", "minimize"),)
PAIRS = [(0.3, 0.3), (0.1, 0.1), (0.1, 0.3), (0.05, 0.3), (0.02, 0.15), (0.3, 0.1)]
"""the standard deviation of the values, and what trials report"""


def searched(chance: random.Random, noise: float, reported: float) -> tuple[list[Observation], dict[int, float]]:
    """The reported values of a search, and the true values of its trials."""
    points = [(chance.random(), chance.random()) for _ in range(20)]
    near = [(chance.gauss(0.3, 0.15), chance.gauss(0.7, 0.2)) for _ in range(30)]
    points += [(min(1.0, max(0.0, x)), min(1.0, max(0.0, y))) for x, y in near]
    told, true = [], {}
    for number, (x, y) in enumerate(points, 1):
        true[number] = 4 * (x - 0.3) ** 2 + 2 * (y - 0.7) ** 2
        value = {"loss": true[number] + chance.gauss(0, noise)}
        told.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, value, {"loss": reported}))
    return told, true


def lost(noise: float, reported: float, searches: int) -> tuple[float, float]:
    """Return the mean regret against the best configuration tried: of the best value, and of the shown trial."""
    raw, shown = [], []
    for seed in range(searches):
        told, true = searched(random.Random(seed), noise, reported)
        found = best_estimate(SPACE, LOSS, told)
        assert found is not None
        luckiest = min(told, key=lambda each: each.metrics["loss"]).number
        raw.append(true[luckiest] - min(true.values()))
        shown.append(true[found.number] - min(true.values()))
    return fmean(raw), fmean(shown)


def main() -> None:
    """One line for each pair."""
    options = table.arguments(__doc__).parse_args()
    print(table.machine())
    searches = 6 if options.quick else 24
    rows: list[table.Row] = []
    for noise, reported in PAIRS:
        raw, shown = lost(noise, reported, searches)
        rows.append([noise, reported, raw, shown, shown / raw])
    title = f"Above the best configuration tried, mean of {searches} searches"
    table.show(title, ["noise", "reported", "the best value", "the one shown", "ratio"], rows)


if __name__ == "__main__":
    main()
