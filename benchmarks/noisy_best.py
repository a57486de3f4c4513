"""Measure the quality of the trial that `best` shows of a noisy search, with a right and a wrong reported noise.

- Bowls of two parameters, 50 results each, of which 30 are near the bottom, as a search leaves them.
- Searches of six models of scikit-learn with 40 trials, each of which was repeated 12 times: with the values that the
  search saw, and with one of the repeats of each trial as its value; the mean of the others is the truth.

    python -m benchmarks.noisy_best
    python -m benchmarks.noisy_best --live     # record the searches again
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

from benchmarks import noisy_problems, table
from benchmarks.noisy_problems import RepeatedTrial
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.estimate import best_estimate
from orchestune.sdk.search_request import read_request

SPACE = Space.of((Parameter("x", "float", 0.0, 1.0), Parameter("y", "float", 0.0, 1.0)))
LOSS = (Metric("loss", "minimize"),)
SCORE = (Metric("score", "maximize"),)
PAIRS = [(0.3, 0.3), (0.1, 0.1), (0.1, 0.3), (0.05, 0.3), (0.02, 0.15), (0.3, 0.1)]
"""the standard deviation of the values, and what trials report"""


def searched(chance: random.Random, noise: float, reported: float) -> tuple[list[Observation], dict[int, float]]:
    """The reported values of a search, and the true values of its trials."""
    points = [(chance.random(), chance.random()) for _ in range(20)]
    near = [(chance.gauss(0.3, 0.15), chance.gauss(0.7, 0.2)) for _ in range(30)]
    points += [(min(1.0, max(0.0, x)), min(1.0, max(0.0, y))) for x, y in near]
    observations, true = [], {}
    for number, (x, y) in enumerate(points, 1):
        true[number] = 4 * (x - 0.3) ** 2 + 2 * (y - 0.7) ** 2
        value = {"loss": true[number] + chance.gauss(0, noise)}
        observations.append(Observation(number, {"x": x, "y": y}, TrialState.COMPLETED, value, {"loss": reported}))
    return observations, true


def lost(noise: float, reported: float, searches: int) -> tuple[float, float]:
    """Return the mean regret against the best configuration tried: of the best value, and of the shown trial."""
    raw, expected = [], []
    for seed in range(searches):
        observations, true = searched(random.Random(seed), noise, reported)
        best = best_estimate(SPACE, LOSS, observations)
        assert best is not None
        luckiest = min(observations, key=lambda each: each.metrics["loss"]).number
        raw.append(true[luckiest] - min(true.values()))
        expected.append(true[best.number] - min(true.values()))
    return fmean(raw), fmean(expected)


def regrets(
    space: Space, trials: Sequence[RepeatedTrial], measured: Sequence[tuple[float, float]], true: Sequence[float]
) -> tuple[float, float]:
    """Return how far the trial with the best of these values, and the one shown, are below the best true value."""
    observations = [
        Observation(number, trial.parameters, TrialState.COMPLETED, {"score": value}, {"score": stddev})
        for number, (trial, (value, stddev)) in enumerate(zip(trials, measured, strict=True), 1)
    ]
    raw = max(observations, key=lambda each: each.metrics["score"]).number
    best = best_estimate(space, SCORE, observations)
    chosen = raw if best is None else best.number
    return max(true) - true[raw - 1], max(true) - true[chosen - 1]


def repeated(space: Space, trials: Sequence[RepeatedTrial], draws: int) -> list[tuple[float, float]]:
    """Return the regrets of the search itself, and of `draws` others with repeats as values."""
    chance = random.Random(0)
    means = [fmean(value for value, _ in trial.repeats) for trial in trials]
    pairs = [regrets(space, trials, [(trial.value, trial.stddev) for trial in trials], means)]
    for _ in range(draws):
        drawn = [chance.randrange(len(trial.repeats)) for trial in trials]
        true = [
            fmean(value for place, (value, _) in enumerate(trial.repeats) if place != index)
            for trial, index in zip(trials, drawn, strict=True)
        ]
        measured = [trial.repeats[index] for trial, index in zip(trials, drawn, strict=True)]
        pairs.append(regrets(space, trials, measured, true))
    return pairs


def show_models(*, live: bool, draws: int, jobs: int) -> None:
    """One line for each model: searches as they were, then with drawn repeats."""
    searches_found = noisy_problems.searches(live=live, jobs=jobs)
    if live:
        noisy_problems.keep(searches_found)
    rows: list[table.Row] = []
    for name, searches in searches_found.items():
        request = read_request(noisy_problems.PROBLEMS[name].parameters, {"score": "maximize"}, "random", None)
        pairs = [repeated(request.space, trials, draws) for trials in searches]
        own = [each[0] for each in pairs]
        others = [pair for each in pairs for pair in each[1:]]
        gains = [expected - raw for raw, expected in others]
        raw = fmean(raw for raw, _ in others)
        rows.append([
            name, fmean(raw for raw, _ in own), fmean(expected for _, expected in own),
            raw, fmean(expected for _, expected in others),
            f"{fmean(gains):+.4f} ± {1.96 * stdev(gains) / sqrt(len(gains)):.4f}", 1 + fmean(gains) / raw,
        ])  # fmt: skip
    title = f"Models: below the best configuration tried; of {draws} draws of repeats for each of the searches"
    table.show(title, ["model", "live: best value", "live: shown", "best value", "shown", "difference", "ratio"], rows)
    print(f"mean ratio: {fmean(float(str(row[-1])) for row in rows):.2f}")


def main() -> None:
    """One line for each pair, and one for each model."""
    parser = table.arguments(__doc__)
    parser.add_argument("--live", action="store_true", help="record the searches of the models anew")
    parser.add_argument("--draws", type=int, default=None, help="draws of repeats for each search")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    print(table.machine())
    show_models(live=options.live, draws=options.draws or (2 if options.quick else 30), jobs=options.jobs)
    searches = 6 if options.quick else 24
    rows: list[table.Row] = []
    for noise, reported in PAIRS:
        raw, expected = lost(noise, reported, searches)
        rows.append([noise, reported, raw, expected, expected / raw])
    title = f"Above the best configuration tried, mean of {searches} searches"
    table.show(title, ["noise", "reported", "the best value", "the one shown", "ratio"], rows)


if __name__ == "__main__":
    main()
