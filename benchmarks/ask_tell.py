"""Latency of `Experiment.ask` after `tell`, and trials per second of `tune` with a function of one millisecond.

    python -m benchmarks.ask_tell --trials 200

One process asks, evaluates for `--work` milliseconds and tells, with the embedded server on this machine. The time of
`ask` contains the end of the trial before, if only one may be open (parallelism 1).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import orchestune
from benchmarks import table
from tests.testbeds.home import Home

SPACE = {"x": "0.0..1.0", "y": "1..100", "z": ["a", "b"]}


def one_millisecond(x: float, y: int, z: str) -> float:
    """Return a value after a millisecond."""
    time.sleep(0.001)
    return x * y + len(z)


def ask(engine: str, parallelism: int, trials: int, work_seconds: float) -> list[float]:
    """Return the seconds of each `ask` but the first five, in which the worker starts."""
    experiment = orchestune.Experiment.create(
        parameters=SPACE, metrics={"loss": "minimize"}, budget=trials + 5, parallelism=parallelism, engine=engine
    )
    seconds: list[float] = []
    while True:
        began = time.perf_counter()
        trial = experiment.ask()
        if trial is None:
            return seconds[5:]
        seconds.append(time.perf_counter() - began)
        time.sleep(work_seconds)
        trial.tell({"loss": trial.parameters.x * trial.parameters.y})


def tune_rate(parallelism: int, trials: int) -> float:
    """Return the trials per second of a call of `tune`, its start and end included."""
    began = time.perf_counter()
    orchestune.tune(one_millisecond, SPACE, {"loss": "minimize"}, trials, parallelism, engine="random")
    return trials / (time.perf_counter() - began)


def main() -> None:
    """Print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--work", type=float, default=20.0, metavar="MS", help="time to evaluate a trial [default: 20]")
    options = parser.parse_args()
    with Home() as home:
        os.environ["ORCHESTUNE_HOME"] = str(home.folder)
        rows = []
        for engine in ("random", "auto"):
            for parallelism in (1, 2):
                times = sorted(ask(engine, parallelism, options.trials, options.work / 1000))
                p99 = times[int(0.99 * (len(times) - 1))]
                rows.append((engine, str(parallelism), f"{statistics.median(times) * 1e3:.1f}", f"{p99 * 1e3:.1f}"))
        table.show("`ask` after `tell`", ("engine", "parallelism", "median ms", "p99 ms"), rows)
        rates = [(str(slots), f"{tune_rate(slots, options.trials):.1f}") for slots in (1, 2)]
        table.show("`tune` of a function of 1 ms", ("parallelism", "trials/s"), rates)


if __name__ == "__main__":
    main()
