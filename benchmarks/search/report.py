"""Tables from results: the mean normalised regret of each engine, by class, with an interval and the mean rank."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from benchmarks import table
from benchmarks.search.suite import PROBLEMS, regret

_RESAMPLED = 2000
Settings = dict[tuple[int, int], dict[str, dict[tuple[str, int], Mapping[str, Any]]]]


def show(lines: Sequence[Mapping[str, Any]], at: int | None, *, each: bool) -> None:
    """Print one table for each budget and number of workers; only searches that every engine has run are compared."""
    for (budget, workers), engines in sorted(by_setting(lines).items()):
        shared = sorted(set.intersection(*(set(runs) for runs in engines.values())))
        if not shared:
            print(f"\n{budget} trials, {workers} workers: no search was run by each of {', '.join(engines)}")
            continue
        mark = at or budget
        values = {
            engine: {
                key: regret(
                    PROBLEMS[key[0]],
                    float(runs[key]["best"][str(mark) if str(mark) in runs[key]["best"] else mark]),
                    mark,
                )
                for key in shared
            }
            for engine, runs in engines.items()
        }
        title = f"Normalised regret after {mark} of {budget} trials, {workers} workers, {len(shared)} searches"
        table.show(title, *_by_class(values, engines))
        if each:
            table.show("Each problem", *_by_problem(values))


def by_setting(lines: Sequence[Mapping[str, Any]]) -> Settings:
    """The lines by budget and workers, engine, and problem and seed."""
    settings: Settings = defaultdict(dict)
    for line in lines:
        runs = settings[(line["budget"], line["workers"])].setdefault(line["engine"], {})
        runs[(line["problem"], line["seed"])] = line
    return settings


def _by_class(
    values: Mapping[str, Mapping[tuple[str, int], float]], engines: Mapping[str, Mapping[Any, Mapping[str, Any]]]
) -> tuple[list[str], list[table.Row]]:
    kinds = sorted({PROBLEMS[problem].kind for runs in values.values() for problem, _ in runs})
    places = ranks(values)
    rows: list[table.Row] = []
    for engine, runs in sorted(values.items(), key=lambda item: mean_of_problems(item[1])):
        by_kind = [mean_of_problems({k: v for k, v in runs.items() if PROBLEMS[k[0]].kind == kind}) for kind in kinds]
        low, high = spread(runs)
        asks = [engines[engine][key]["ask_ms"] for key in runs]
        rows.append(
            [
                engine,
                f"{mean_of_problems(runs):.3f}",
                f"{low:.2f}-{high:.2f}" if len({seed for _, seed in runs}) > 1 else "-",
                f"{places[engine]:.2f}",
                *(f"{value:.2f}" for value in by_kind),
                f"{statistics.median(ask[0] for ask in asks):.0f}/{statistics.median(ask[1] for ask in asks):.0f}",
            ]
        )
    return ["engine", "mean", "95 %", "rank", *kinds, "ask ms median/p95"], rows


def _by_problem(values: Mapping[str, Mapping[tuple[str, int], float]]) -> tuple[list[str], list[table.Row]]:
    problems = sorted({problem for runs in values.values() for problem, _ in runs})
    rows: list[table.Row] = [
        [
            problem,
            *(f"{statistics.fmean(v for k, v in runs.items() if k[0] == problem):.2f}" for runs in values.values()),
        ]
        for problem in problems
    ]
    return ["problem", *values], rows


def mean_of_problems(runs: Mapping[tuple[str, int], float]) -> float:
    """Each problem weighs the same, however many seeds it was run with."""
    by_problem = defaultdict(list)
    for (problem, _), value in runs.items():
        by_problem[problem].append(value)
    return statistics.fmean(statistics.fmean(values) for values in by_problem.values())


def spread(runs: Mapping[tuple[str, int], float]) -> tuple[float, float]:
    """Of the mean, from searches drawn again within each problem: what other seeds would give on the same problems."""
    by_problem = defaultdict(list)
    for (problem, _), value in runs.items():
        by_problem[problem].append(value)
    random = Random(0)
    means = sorted(
        statistics.fmean(statistics.fmean(random.choices(values, k=len(values))) for values in by_problem.values())
        for _ in range(_RESAMPLED)
    )
    return means[round(0.025 * _RESAMPLED)], means[round(0.975 * _RESAMPLED) - 1]


def ranks(values: Mapping[str, Mapping[tuple[str, int], float]]) -> dict[str, float]:
    """The mean over searches of the engine's place, equals sharing theirs."""
    places: dict[str, list[float]] = defaultdict(list)
    for key in next(iter(values.values())):
        engine_values = {engine: runs[key] for engine, runs in values.items()}
        for engine, value in engine_values.items():
            better = sum(other < value - 1e-12 for other in engine_values.values())
            equal = sum(abs(other - value) <= 1e-12 for other in engine_values.values())
            places[engine].append(better + (equal + 1) / 2)
    return {engine: statistics.fmean(engine_ranks) for engine, engine_ranks in places.items()}
