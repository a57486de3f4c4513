"""Problems with two or three losses that want different configurations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.search import mixed, tabular
from benchmarks.search.problem import box, numbers
from orchestune.domain.search.space import Configuration, Space

Losses = tuple[float, ...]


@dataclass(frozen=True)
class TradeOff:
    """`losses` are to be minimized, all of them; `tuned` says whether engines may be tuned on it."""

    name: str
    space: Space
    losses: Callable[[Configuration], Losses]
    count: int
    tuned: bool = False


def bowls(c: Configuration) -> Losses:
    """Two bowls with their bottoms apart; the best trade-offs are the line between them."""
    x = numbers(c)
    return (
        sum(10 ** (i / 3) * (v - 0.2) ** 2 for i, v in enumerate(x)),
        sum(10 ** (i / 3) * (v - 0.7) ** 2 for i, v in enumerate(x)),
    )


def bent(c: Configuration) -> Losses:
    """A convex front at one value of each number but the first (ZDT1 of Zitzler et al., 2000, moved inside)."""
    first, *rest = numbers(c)
    g = 1 + 9 * sum(abs(v - 0.3) for v in rest) / len(rest)
    return first, g * (1 - math.sqrt(first / g))


def broken(c: Configuration) -> Losses:
    """A front in five pieces (ZDT3, moved inside)."""
    first, *rest = numbers(c)
    g = 1 + 9 * sum(abs(v - 0.6) for v in rest) / len(rest)
    return first, g * (1 - math.sqrt(first / g) - first / g * math.sin(10 * math.pi * first)) + 1


def sphere(c: Configuration) -> Losses:
    """Three losses whose front is an eighth of a sphere (DTLZ2 of Deb et al., 2005, moved inside)."""
    first, second, *rest = numbers(c)
    g = 1 + sum((v - 0.4) ** 2 for v in rest)
    a, b = first * math.pi / 2, second * math.pi / 2
    return g * math.cos(a) * math.cos(b), g * math.cos(a) * math.sin(b), g * math.sin(a)


def network(c: Configuration) -> Losses:
    """Return the loss and the size of a network."""
    return mixed.network(c), math.log2(float(c["width"])) + math.log2(float(c["layers"]))


def pipeline(c: Configuration) -> Losses:
    """Return the loss and the duration of a pipeline; the duration depends on the branch."""
    if c["model"] == "kernel":
        return mixed.pipeline(c), 2.0 + 0.2 * math.log10(float(c["c"])) + (0.5 if c["kernel"] == "poly" else 0.0)
    return mixed.pipeline(c), math.log10(float(c["rounds"])) + (0.4 if c["booster"] == "dart" else 0.0)


def training(c: Configuration) -> Losses:
    """Return error, memory and variance: three losses in a conditional space."""
    rate = math.log10(float(c["rate"]))
    memory = 3.0 if c["optimizer"] == "adam" else 1.0 + 2 * float(c["momentum"])
    return mixed.training(c), memory, max(0.0, rate + 4) / 5 + (0.3 if c["schedule"] == "none" else 0.0)


def _table(name: str, *metrics: str) -> TradeOff:
    table = tabular.TABLES[name]

    def losses(c: Configuration) -> Losses:
        row = table.row(c)
        return table.loss(row), *(math.log(sum(row[metric]) / len(row[metric])) for metric in metrics)

    return TradeOff(f"{name}-{len(metrics) + 1}", table.space, losses, len(metrics) + 1, name in tabular.TUNED)


_SPACES = {problem.name: problem.space for problem in mixed.PROBLEMS}
PROBLEMS = {
    problem.name: problem
    for problem in (
        TradeOff("bowls4", box(4, 0.0, 1.0), bowls, 2, tuned=True),
        TradeOff("bent6", box(6, 0.0, 1.0), bent, 2, tuned=True),
        TradeOff("broken5", box(5, 0.0, 1.0), broken, 2),
        TradeOff("sphere6", box(6, 0.0, 1.0), sphere, 3),
        TradeOff("network7", _SPACES["network7"], network, 2, tuned=True),
        TradeOff("pipeline", _SPACES["pipeline"], pipeline, 2),
        TradeOff("training", _SPACES["training"], training, 3),
        _table("hpobench-vehicle", "train_time"),
        _table("hpobench-credit_g", "train_time"),
        _table("hpolib-naval_propulsion", "train_time", "model_size"),
        _table("hpolib-protein_structure", "train_time", "model_size"),
        _table("nasbench201-imagenet", "latency"),
    )
}
