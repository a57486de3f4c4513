"""All problems, and what random search finds in them."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.search import analytic, mixed, recorded, tabular
from benchmarks.search.problem import Problem
from benchmarks.search.searchers import searcher
from benchmarks.search.simulation import simulate

PROBLEMS: dict[str, Problem] = {
    problem.name: problem for problem in (*analytic.PROBLEMS, *mixed.PROBLEMS, *recorded.problems(), *tabular.PROBLEMS)
}
_BASELINE = Path(__file__).with_name("random_search.json")
_SEEDS = range(10_000, 10_031)
"""none that an engine is ever measured with"""
MARKS = (20, 40, 60, 80, 100, 120, 150, 200, 300, 500, 1000)


def measure_random_search() -> None:
    """Write what random search has found after so many trials: the mean over the seeds. What is known stays."""
    baselines: dict[str, Any] = json.loads(_BASELINE.read_text()) if _BASELINE.exists() else {}
    for problem in PROBLEMS.values():
        if problem.name in baselines:
            continue
        raw = replace(problem, tells_noise=False)  # its users take the best value
        budget = int(min(MARKS[-1], problem.space.size()))
        traces = [
            simulate(raw, searcher("random", problem.space, seed, budget, 1), seed=seed, budget=budget, workers=1)
            for seed in _SEEDS
        ]
        best = [[min(v, 1e300) for v in trace.best] for trace in traces]
        baselines[problem.name] = {
            mark: statistics.fmean(values[min(mark, len(values)) - 1] for values in best) for mark in MARKS
        }
    _BASELINE.write_text(json.dumps(baselines, indent=1) + "\n")


def regret(problem: Problem, loss: float, budget: int) -> float:
    """0 where the best known loss was found, 1 where random search is on average after `budget` trials; 2 at most."""
    reference: float = json.loads(_BASELINE.read_text())[problem.name][str(budget)]
    return min(max(loss - problem.best, 0.0) / max(reference - problem.best, 1e-12), 2.0)
