"""Folds: measurements of one configuration on several parts of the data, one fold each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestune.domain.specification.metrics import Metric, ReducedMetric, averaged, mean_of


@dataclass(frozen=True)
class Folds:
    """Number of folds of a trial, and the pruning between folds."""

    count: int = 1
    prune_after: int | None = None
    """completed folds after which a trial is pruned once its mean can no longer become the best; None: never"""


def combine(folds: Sequence[Mapping[str, ReducedMetric]]) -> dict[str, ReducedMetric]:
    """Return the mean and sample standard deviation of each metric that all `folds` (at least one) reported.

    A single fold keeps its own standard deviation, if it reported one.
    """
    if len(folds) == 1:
        return dict(folds[0])
    names = [name for name in folds[0] if all(name in fold for fold in folds)]
    return {name: averaged([fold[name].value for fold in folds]) for name in names}


def update_bests(metric: Metric, bests: Sequence[float | None], fold: int, value: float) -> list[float | None]:
    """Return the best value of any trial in each fold, updated with `value` in `fold`."""
    return [value if index == fold and metric.better(value, best) else best for index, best in enumerate(bests)]


def best_possible_mean(done: Mapping[int, float], bests: Sequence[float | None]) -> float | None:
    """Return the mean of a trial if each pending fold matched the best value of any trial in that fold.

    None if the best value of a pending fold is unknown.
    """
    values = [done.get(fold, best) for fold, best in enumerate(bests)]
    available = [value for value in values if value is not None]
    return mean_of(available) if len(available) == len(bests) else None


Bests = Mapping[str, Sequence[float | None]]
"""metric → best value of any trial in each fold"""


def prune_reason(
    folds: Folds,
    metrics: Sequence[Metric],
    done: Mapping[int, Mapping[str, ReducedMetric]],
    bests: Bests,
    best: Mapping[str, float],
) -> str | None:
    """Return why to prune a trial, given its completed folds `done`; None if it may still become the best.

    With several `metrics`, all have to agree: a trial that beats the `best` value of one may be on the Pareto front.
    """
    if folds.prune_after is None or len(done) < folds.prune_after:
        return None
    means = []
    for metric in metrics:
        values = {fold: measured[metric.name].value for fold, measured in done.items() if metric.name in measured}
        possible, incumbent = (
            best_possible_mean(values, bests.get(metric.name) or [None] * folds.count),
            best.get(metric.name),
        )
        if possible is None or incumbent is None or metric.better(possible, incumbent):
            return None
        means.append((metric.name, possible, incumbent))
    after = f"after {len(done)} of {folds.count} folds its mean can be"
    if len(means) == 1:
        return f"{after} {means[0][1]:.6g} at best; the best trial has {means[0][2]:.6g}"
    possible_texts = ", ".join(f"{name} {possible:.6g}" for name, possible, _ in means)
    bests_text = ", ".join(f"{name} {incumbent:.6g}" for name, _, incumbent in means)
    return f"{after} {possible_texts} at best; the best trial has {bests_text}"
