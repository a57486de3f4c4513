"""Folds: one configuration, measured on several parts of the data, one fold each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestune.domain.metrics import Measured, Metric, averaged, mean_of


@dataclass(frozen=True)
class Folds:
    """How many folds a trial has."""

    count: int = 1
    prune_after: int | None = None
    """done folds after which a trial is pruned as soon as its mean cannot become the best; None: never"""


def combine(folds: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
    """Mean and sample standard deviation of every metric that all `folds` (at least one) reported.

    With one fold its own standard deviation stays, if it reported one.
    """
    if len(folds) == 1:
        return dict(folds[0])
    names = [name for name in folds[0] if all(name in fold for fold in folds)]
    return {name: averaged([fold[name].value for fold in folds]) for name in names}


def note_bests(metric: Metric, bests: Sequence[float | None], fold: int, value: float) -> list[float | None]:
    """The best value that any trial reached in each fold, now that one reached `value` in `fold`."""
    return [value if index == fold and metric.better(value, best) else best for index, best in enumerate(bests)]


def at_best(done: Mapping[int, float], bests: Sequence[float | None]) -> float | None:
    """The mean of a trial if each of its folds that are not done were as good as any trial was in that fold.

    None while nobody knows how good a fold can be.
    """
    values = [done.get(fold, best) for fold, best in enumerate(bests)]
    known = [value for value in values if value is not None]
    return mean_of(known) if len(known) == len(bests) else None


Bests = Mapping[str, Sequence[float | None]]
"""of each metric the best value of any trial in each fold"""


def hopeless(
    folds: Folds,
    metrics: Sequence[Metric],
    done: Mapping[int, Mapping[str, Measured]],
    bests: Bests,
    best: Mapping[str, float],
) -> str | None:
    """Why a trial whose folds `done` measured this need not go on; None where it may still become the best.

    Of several `metrics` all have to say so: what beats the `best` trial in one may belong to the front.
    """
    if folds.prune_after is None or len(done) < folds.prune_after:
        return None
    means = []
    for metric in metrics:
        values = {fold: measured[metric.name].value for fold, measured in done.items() if metric.name in measured}
        hoped, than = at_best(values, bests.get(metric.name) or [None] * folds.count), best.get(metric.name)
        if hoped is None or than is None or metric.better(hoped, than):
            return None
        means.append((metric.name, hoped, than))
    after = f"after {len(done)} of {folds.count} folds its mean can be"
    if len(means) == 1:
        return f"{after} {means[0][1]:.6g} at best; the best trial has {means[0][2]:.6g}"
    hopes = ", ".join(f"{name} {hoped:.6g}" for name, hoped, _ in means)
    return f"{after} {hopes} at best; the best trial has {', '.join(f'{name} {than:.6g}' for name, _, than in means)}"
