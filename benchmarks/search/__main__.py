"""Which engine finds better configurations, in simulated time: `python -m benchmarks.search --quick`.

    python -m benchmarks.search run --engines auto tpe optuna-tpe --problems held --seeds 100 101 --to x.jsonl.gz
    python -m benchmarks.search report benchmarks/search/results/40-*.jsonl.gz
    python -m benchmarks.search plot benchmarks/search/results/*-trials-15-*.jsonl.gz --to docs/images
    python -m benchmarks.search baseline                      # measures random search where that is not known yet

Engines: those of the registry, with options as in `tpe:startup=5`, and those of `peers.table`, most of which get an
environment of their own at their first use. Seeds below 100 and the problems marked as tuned are for trying
things out; what is published comes from seeds of 100 and more, and says which problems were held out. `held` and
`tabular` are those that were: functions and recorded models, and the tables of a package that is fetched when one is
first looked into. `middle` were too, and are measured apart, since their best lies beside the middle of the space.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.search import plot, report
from benchmarks.search.searchers import searcher
from benchmarks.search.simulation import MARK, simulate
from benchmarks.search.suite import PROBLEMS, measure_random_search
from benchmarks.table import percentile

_QUICK = ("branin", "rastrigin5", "network7", "branches")


def _chosen(words: Sequence[str]) -> list[str]:
    held = {name: problem for name, problem in PROBLEMS.items() if not problem.tuned}
    groups = {
        "all": list(PROBLEMS),
        "tuned": [name for name, problem in PROBLEMS.items() if problem.tuned and problem.kind != "tabular"],
        "held": [name for name, problem in held.items() if problem.kind not in ("tabular", "middle")],
        "tabular": [name for name, problem in held.items() if problem.kind == "tabular"],
        "middle": [name for name, problem in held.items() if problem.kind == "middle"],
    }
    return [name for word in words for name in groups.get(word, [word])]


def run(engine: str, problem: str, seed: int, budget: int, workers: int) -> dict[str, Any]:
    """One search as a line of the results."""
    chosen_problem = PROBLEMS[problem]
    runs = searcher(engine, chosen_problem.space, seed, budget, workers)
    trace = simulate(chosen_problem, runs, seed=seed, budget=budget, workers=workers)
    asks = [1000 * seconds for seconds in trace.seconds]
    return {
        "engine": engine,
        "version": getattr(runs, "version", None),
        "problem": problem,
        "seed": seed,
        "budget": budget,
        "workers": workers,
        "best": {mark: min(trace.best[mark - 1], 1e300) for mark in range(MARK, budget + 1, MARK)},
        "ask_ms": [round(percentile(asks, share), 2) for share in (0.5, 0.95, 1.0)],
        "repeated": trace.repeated,
    }


def _run_all(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    recorded_lines = _read([options.to]) if options.to and options.to.exists() else []
    done = {tuple(line[name] for name in ("engine", "problem", "seed", "budget", "workers")) for line in recorded_lines}
    for seed in options.seeds:
        for problem in _chosen(options.problems):
            for engine in options.engines:
                if (engine, problem, seed, options.budget, options.workers) not in done:
                    yield run(engine, problem, seed, options.budget, options.workers)


def _read(files: Sequence[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four problems, budget 60, three engines: two minutes")
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("baseline")
    reporting = verbs.add_parser("report")
    reporting.add_argument("files", nargs="+", type=Path)
    reporting.add_argument("--at", type=int, help="after so many results instead of all")
    reporting.add_argument("--each", action="store_true", help="each problem by itself")
    plotting = verbs.add_parser("plot")
    plotting.add_argument("files", nargs="+", type=Path)
    plotting.add_argument("--to", type=Path, required=True, help="a folder, for one picture per budget and workers")
    running = verbs.add_parser("run")
    running.add_argument("--engines", nargs="+", default=["auto", "tpe", "optuna-tpe"])
    running.add_argument("--problems", nargs="+", default=["tuned"])
    running.add_argument("--seeds", nargs="+", type=int, default=[0])
    running.add_argument("--budget", type=int, default=120)
    running.add_argument("--workers", type=int, default=15)
    running.add_argument("--to", type=Path, help="a file of results (.jsonl.gz); what it has already is not run again")
    options = parser.parse_args()
    if options.quick:
        options = running.parse_args(["--budget", "60", "--problems", *_QUICK])
    elif options.verb == "baseline":
        return measure_random_search()
    elif options.verb == "report":
        return report.show(_read(options.files), options.at, each=options.each)
    elif options.verb == "plot":
        return print(*plot.draw(_read(options.files), options.to), sep="\n")
    elif options.verb is None:
        parser.error("say run, report, plot, baseline or --quick")
    lines = []
    for line in _run_all(options):
        lines.append(line)
        print(".", end="", flush=True, file=sys.stderr)
        if options.to:
            with gzip.open(options.to, "at") as file:
                file.write(json.dumps(line) + "\n")
    print(file=sys.stderr)
    report.show(_read([options.to]) if options.to else lines, None, each=True)


if __name__ == "__main__":
    main()
