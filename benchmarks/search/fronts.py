"""Which engine finds the better front of several metrics, in simulated time.

    python -m benchmarks.search.fronts run --engines auto tpe evolution optuna-nsga2 --seeds 100 101 --to x.jsonl.gz
    python -m benchmarks.search.fronts report benchmarks/search/results/fronts/120-trials-15-workers.jsonl.gz
    python -m benchmarks.search.fronts baseline       # the volumes that results are compared with, where not known yet

A figure is the regret of the dominated hypervolume: 0 has the volume of the best front known, 1 what random search
covers on average with as many trials. The reference lies a tenth of the best front's width behind it.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.search.report import mean_of_problems, ranks, spread
from benchmarks.search.tradeoffs import PROBLEMS, TradeOff
from benchmarks.table import percentile
from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.cube import Cube
from orchestune.engines.registry import create
from orchestune.engines.samplers.candidates import mutated
from orchestune.services.queries.read_hypervolume import growth, undominated

Points = NDArray[np.float64]
_VOLUMES = Path(__file__).with_name("fronts.json")
MARK = 20
_RANDOM = 21
"""random searches whose volume on average is 1"""
_DRAWS, _CHILDREN, _SURVIVORS, _STEPS = 10_000, 1_000, 300, (0.1, 0.05, 0.02, 0.01, 0.005) * 2
"""draws, and rounds of children of the best of them, in which the best front is looked for"""


class Searcher(Protocol):
    """A searcher in the comparison."""

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]: ...
    def tell(self, observation: Observation) -> None: ...


class Ours:
    """An engine of the registry."""

    def __init__(self, name: str, problem: TradeOff, seed: int) -> None:
        metrics = [Metric(f"loss{index}", "minimize") for index in range(problem.count)]
        self._engine = create(name, problem.space, metrics, seed=seed, in_process=True)
        self._seed, self.version = seed, self._engine.version

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        return self._engine.ask(pending, number, ask_seed(self._seed, number))

    def tell(self, observation: Observation) -> None:
        self._engine.tell([observation])


class OptunaFronts:
    """An Optuna study with several objectives: TPE, the default of Optuna 5, or NSGA-II."""

    def __init__(self, name: str, problem: TradeOff, seed: int) -> None:
        import optuna

        from benchmarks.search.peers.optuna_study import suggested

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = {"optuna-nsga2": optuna.samplers.NSGAIISampler, "optuna-tpe": optuna.samplers.TPESampler}[name]
        self._study = optuna.create_study(sampler=sampler(seed=seed), directions=["minimize"] * problem.count)
        self._trials: dict[int, Any] = {}
        self._space, self._suggested = problem.space, suggested
        self.version = optuna.__version__

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        self._trials[number] = trial = self._study.ask()
        return self._suggested(self._space, trial)

    def tell(self, observation: Observation) -> None:
        self._study.tell(self._trials.pop(observation.number), list(observation.metrics.values()))


def search(problem: TradeOff, searcher: Searcher, seed: int, budget: int, workers: int) -> tuple[Points, list[float]]:
    """The losses in the order in which they came, and the seconds of each ask."""
    running: list[tuple[float, int]] = []
    pending: dict[int, dict[str, Value]] = {}
    points: list[tuple[float, ...]] = []
    seconds: list[float] = []
    now = 0.0
    for number in range(1, budget + min(workers, budget) + 1):
        if len(running) == workers or number > budget:
            now, ended = heapq.heappop(running)
            configuration = pending.pop(ended)
            losses = problem.losses(configuration)
            values = {f"loss{index}": loss for index, loss in enumerate(losses)}
            searcher.tell(Observation(ended, configuration, TrialState.COMPLETED, values))
            points.append(losses)
        if number <= budget:
            began = time.perf_counter()
            pending[number] = searcher.ask(list(pending.values()), number)
            seconds.append(time.perf_counter() - began)
            length = math.exp(Random(f"{problem.name}/{seed}/{number}").gauss(0, 0.5))
            heapq.heappush(running, (now + length, number))
    return np.array(points), seconds


def volume(points: Points, reference: Points) -> float:
    """Return the volume that the points dominate within the reference; exact for two and three losses."""
    points = undominated(points[(points < reference).all(axis=1)])
    if points.shape[1] == 2:
        return max((total for _, total in growth(points, reference)), default=0.0)
    levels = [*sorted(set(points[:, 2])), float(reference[2])]
    slices = (
        (above - level) * volume(points[points[:, 2] <= level][:, :2], reference[:2])
        for level, above in pairwise(levels)
    )
    return float(sum(slices))


def run(engine: str, name: str, seed: int, budget: int, workers: int) -> dict[str, Any]:
    """One search as a line of the results."""
    problem, baselines = PROBLEMS[name], json.loads(_VOLUMES.read_text())[name]
    searcher = (OptunaFronts if engine.startswith("optuna") else Ours)(engine, problem, seed)
    points, seconds = search(problem, searcher, seed, budget, workers)
    asks = [1000 * each for each in seconds]
    volumes = {mark: volume(points[:mark], np.array(baselines["reference"])) for mark in range(MARK, budget + 1, MARK)}
    return {
        "engine": engine, "version": searcher.version, "problem": name, "seed": seed, "budget": budget,
        "workers": workers, "volume": volumes,
        "ask_ms": [round(percentile(asks, share), 2) for share in (0.5, 0.95, 1.0)],
    }  # fmt: skip


def measure_volumes() -> None:
    """Write the best front's volume and what random search covers after 40, 120 and 300 trials. What is known stays."""
    baselines: dict[str, Any] = json.loads(_VOLUMES.read_text()) if _VOLUMES.exists() else {}
    for name, problem in PROBLEMS.items():
        if name in baselines:
            continue
        draws = [
            search(problem, Ours("random", problem, seed), seed, 300, 1)[0] for seed in range(10_000, 10_000 + _RANDOM)
        ]
        front = _best_front(problem)
        reference = front.max(axis=0) + 0.1 * (front.max(axis=0) - front.min(axis=0))
        baselines[name] = {
            "reference": reference.tolist(),
            "best": volume(front, reference),
            "random": {
                mark: statistics.fmean(volume(points[:mark], reference) for points in draws) for mark in (40, 120, 300)
            },
        }
        _VOLUMES.write_text(json.dumps(baselines, indent=1) + "\n")


def _best_front(problem: TradeOff) -> Points:
    """The losses of the best of many draws, and of what rounds of small changes make of them."""
    random, cube = np.random.default_rng(0), Cube(problem.space)
    parents, losses = cube.uniform(_DRAWS, random), np.empty((0, problem.count))
    survivors = parents[:0]
    for width in (0.0, *_STEPS):
        children = (
            mutated(cube, survivors[random.integers(len(survivors), size=_CHILDREN)], width, random)
            if width
            else parents
        )
        child_losses = np.array([problem.losses(cube.configuration(child)) for child in children])
        points, losses = np.concatenate([survivors, children]), np.concatenate([losses, child_losses])
        front = {tuple(row) for row in undominated(losses).tolist()}
        chosen = [place for place, row in enumerate(losses.tolist()) if tuple(row) in front]
        chosen = random.permutation(chosen)[:_SURVIVORS].tolist()
        survivors, losses = points[chosen], losses[chosen]
    return losses


def report(files: Sequence[Path], at: int | None) -> None:
    """A table for each budget and number of workers, of the searches that every engine has run."""
    baselines = json.loads(_VOLUMES.read_text())
    lines = [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    for budget, workers in sorted({(line["budget"], line["workers"]) for line in lines}):
        mark = at or budget
        values: dict[str, dict[tuple[str, int], float]] = {}
        for line in lines:
            if (line["budget"], line["workers"]) == (budget, workers):
                of = baselines[line["problem"]]
                missing = (of["best"] - line["volume"][str(mark)]) / (of["best"] - of["random"][str(mark)])
                values.setdefault(line["engine"], {})[line["problem"], line["seed"]] = missing
        shared = set.intersection(*(set(runs) for runs in values.values()))
        values = {engine: {key: runs[key] for key in shared} for engine, runs in values.items()}
        problems, places = sorted({name for name, _ in shared}), ranks(values)
        rows: list[table.Row] = []
        for engine, runs in sorted(values.items(), key=lambda item: mean_of_problems(item[1])):
            low, high = spread(runs)
            each = [statistics.fmean(v for k, v in runs.items() if k[0] == name) for name in problems]
            rows.append([engine, f"{mean_of_problems(runs):.3f}", f"{low:.2f}-{high:.2f}", f"{places[engine]:.2f}",
                         *(f"{value:.2f}" for value in each)])  # fmt: skip
        title = f"Regret of the hypervolume after {mark} of {budget} trials, {workers} workers, {len(shared)} searches"
        table.show(title, ["engine", "mean", "95 %", "rank", *problems], rows)


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("baseline")
    reporting = verbs.add_parser("report")
    reporting.add_argument("files", nargs="+", type=Path)
    reporting.add_argument("--at", type=int, choices=(40, 120, 300), help="after so many results instead of all")
    running = verbs.add_parser("run")
    running.add_argument("--engines", nargs="+", default=["auto", "tpe", "evolution", "optuna-nsga2"])
    running.add_argument("--problems", nargs="+", default=["tuned"], help="names, or tuned, or held")
    running.add_argument("--seeds", nargs="+", type=int, default=[0])
    running.add_argument("--budget", type=int, default=120)
    running.add_argument("--workers", type=int, default=15)
    running.add_argument("--to", type=Path, required=True, help="a file of results (.jsonl.gz)")
    options = parser.parse_args()
    if options.verb == "baseline":
        return measure_volumes()
    if options.verb == "report":
        return report(options.files, options.at)
    groups = {
        "tuned": [n for n, p in PROBLEMS.items() if p.tuned],
        "held": [n for n, p in PROBLEMS.items() if not p.tuned],
    }
    for seed in options.seeds:
        for name in (each for word in options.problems for each in groups.get(word, [word])):
            for engine in options.engines:
                line = run(engine, name, seed, options.budget, options.workers)
                print(".", end="", flush=True, file=sys.stderr)
                with gzip.open(options.to, "at") as file:
                    file.write(json.dumps(line) + "\n")
    print(file=sys.stderr)
    report([options.to], None)


if __name__ == "__main__":
    main()
