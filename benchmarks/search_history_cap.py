"""Measure the regret of TPE when its model is built from a part of a long history.

Runs the same searches with several caps (and with the whole history), and prints for each function and cap the best
value found (median over the seeds, smaller is better) and the time of one ask at the end.

    python benchmarks/search_history_cap.py --budget 1000 --seeds 5
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.registry import create

WHOLE = 5000


def _box(count: int, low: float, high: float) -> Space:
    return Space.of(tuple(Parameter(f"x{index}", "float", low, high) for index in range(count)))


def _numbers(configuration: Configuration) -> list[float]:
    return [float(value) for value in configuration.values()]


def rosenbrock(configuration: Configuration) -> float:
    """A narrow curved valley in five dimensions."""
    x = _numbers(configuration)
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def rastrigin(configuration: Configuration) -> float:
    """Many local minima in five dimensions."""
    return sum(10 + (x - 0.7) ** 2 - 10 * math.cos(2 * math.pi * (x - 0.7)) for x in _numbers(configuration))


def ellipsoid(configuration: Configuration) -> float:
    """A smooth bowl in ten dimensions, badly scaled."""
    return sum(10 ** (4 * index / 9) * (x - 0.3) ** 2 for index, x in enumerate(_numbers(configuration)))


def branches(configuration: Configuration) -> float:
    """Three models with parameters of their own, of which the third is best in a small region."""
    model = configuration["model"]
    loss = (math.log10(float(configuration["rate"])) + 3) ** 2 / 10
    if model == "linear":
        return 1.0 + loss + (float(configuration["penalty"]) - 0.5) ** 2
    if model == "trees":
        return 0.8 + loss + abs(float(configuration["depth"]) - 7) / 20
    return loss + abs(float(configuration["layers"]) - 5) / 10 + 5 * (float(configuration["dropout"]) - 0.13) ** 2


CONDITIONAL = Space.of(
    (
        Parameter("model", "categorical", choices=("linear", "trees", "net")),
        Parameter("rate", "float", 1e-6, 1.0, log=True),
        Parameter("penalty", "float", 0.0, 1.0, when=(("model", ("linear",)),)),
        Parameter("depth", "int", 1, 30, when=(("model", ("trees",)),)),
        Parameter("layers", "int", 1, 16, log=True, when=(("model", ("net",)),)),
        Parameter("dropout", "float", 0.0, 0.9, when=(("model", ("net",)),)),
    )
)

PROBLEMS: dict[str, tuple[Space, Callable[[Configuration], float]]] = {
    "rosenbrock5": (_box(5, -2.0, 2.0), rosenbrock),
    "rastrigin5": (_box(5, -5.12, 5.12), rastrigin),
    "ellipsoid10": (_box(10, -1.0, 1.0), ellipsoid),
    "branches": (CONDITIONAL, branches),
}


def search(problem: str, cap: int, seed: int, budget: int) -> tuple[float, float]:
    """The best value, and the milliseconds of an ask (the median of the last twenty)."""
    space, function = PROBLEMS[problem]
    engine = create("tpe", space, [Metric("loss", "minimize")], seed=seed, options={"history": cap}, in_process=True)
    best, times = math.inf, []
    for number in range(1, budget + 1):
        start = time.perf_counter()
        configuration = engine.ask([], number, ask_seed(seed, number))
        times.append(time.perf_counter() - start)
        loss = function(configuration)
        best = min(best, loss)
        engine.tell([Observation(number, configuration, TrialState.COMPLETED, {"loss": loss})])
    return best, 1000 * statistics.median(times[-20:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--caps", type=int, nargs="*", default=[100, 200, 300, 500, WHOLE])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before NumPy is loaded, as in the server
    with ProcessPoolExecutor(arguments.jobs) as pool:
        runs = {
            (problem, cap): [
                pool.submit(search, problem, cap, seed, arguments.budget) for seed in range(arguments.seeds)
            ]
            for problem in PROBLEMS
            for cap in arguments.caps
        }
        print(f"budget {arguments.budget}, {arguments.seeds} seeds")
        print(f"{'function':<14}{'history':>9}{'median best':>14}{'quartiles':>26}{'ms per ask':>12}")
        for (problem, cap), futures in runs.items():
            bests = sorted(future.result()[0] for future in futures)
            milliseconds = statistics.median(future.result()[1] for future in futures)
            low, middle, high = statistics.quantiles(bests, n=4)
            label = "whole" if cap == WHOLE else str(cap)
            print(
                f"{problem:<14}{label:>9}{middle:>14.5g}{f'{low:.4g} .. {high:.4g}':>26}{milliseconds:>12.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
