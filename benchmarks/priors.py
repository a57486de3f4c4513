"""Measure the gain of a right prior and the cost of a wrong one: `python -m benchmarks.priors [--quick]`.

Regret (smaller is better, 0 the optimum) of the best of so many trials, four pending, over functions whose optimum is
drawn by the seed. The right prior has its mean near the optimum, the wrong one far away from it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from random import Random
from statistics import mean

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.priors import Prior
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.registry import create

_LOSS = (Metric("loss", "minimize"),)
_STD = 0.12
_LOOKS = (15, 30, 60)


def bowl(point: Mapping[str, float], best: Mapping[str, float]) -> float:
    return sum((point[name] - best[name]) ** 2 for name in best)


def ripples(point: Mapping[str, float], best: Mapping[str, float]) -> float:
    gaps = [point[name] - best[name] for name in best]
    return sum(gap**2 + 0.05 * (1 - math.cos(8 * math.pi * gap)) for gap in gaps)


FUNCTIONS: Mapping[str, tuple[Callable[[Mapping[str, float], Mapping[str, float]], float], int]] = {
    "bowl, 4": (bowl, 4), "bowl, 8": (bowl, 8), "ripples, 4": (ripples, 4),
}  # fmt: skip


def regrets(engine: str, function: str, belief: str, seed: int, budget: int) -> list[float]:
    """The regret at each look."""
    compute, width = FUNCTIONS[function]
    random = Random(f"{function} {seed}")
    best = {f"x{index}": random.uniform(0.1, 0.9) for index in range(width)}
    believed = {
        name: value + random.gauss(0, 0.05) if belief == "right" else (value + 0.5) % 1 for name, value in best.items()
    }
    space = Space.of(tuple(
        Parameter(name, "float", 0.0, 1.0, prior=None if belief == "none" else Prior("normal", (believed[name], _STD)))
        for name in best
    ))  # fmt: skip
    search_engine = create(engine, space, _LOSS, seed=seed, in_process=True)
    waiting: list[tuple[int, Configuration]] = []
    losses: list[float] = []
    for number in range(1, budget + 1):
        waiting.append((number, search_engine.ask([point for _, point in waiting], number, ask_seed(seed, number))))
        if len(waiting) > 4:
            finished_number, point = waiting.pop(0)
            losses.append(compute({name: float(value) for name, value in point.items()}, best))
            search_engine.tell([Observation(finished_number, point, TrialState.COMPLETED, {"loss": losses[-1]})])
    return [min(losses[:look]) for look in _LOOKS if look <= budget]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, 34 trials")
    parser.add_argument("--engines", nargs="+", default=["auto", "gp", "tpe", "random"])
    options = parser.parse_args()
    seeds, budget = (1, 34) if options.quick else (4, 64)
    looks = [look for look in _LOOKS if look <= budget]
    print("| engine | function | prior |", " | ".join(f"{look} trials" for look in looks), "|")
    print("|---|---|---|" + "---|" * len(looks))
    for engine in options.engines:
        for function in FUNCTIONS:
            for belief in ("none", "right", "wrong"):
                all_regrets = [regrets(engine, function, belief, seed, budget) for seed in range(seeds)]
                row = " | ".join(f"{mean(column):.4f}" for column in zip(*all_regrets, strict=True))
                print(f"| `{engine}` | {function} | {belief} | {row} |", flush=True)


if __name__ == "__main__":
    main()
