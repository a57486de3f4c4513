"""Compare two checkouts: a benchmark of both in turn, and the ratio of this one to the other with its 95 % interval.

    python -m benchmarks.paired ../before throughput --rounds 8

Both need their `.venv`. The order changes from round to round, so that what gets slower with time concerns both alike.
Ratios are of times or of work: below 1 this checkout is faster.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student

from benchmarks import table


@dataclass(frozen=True)
class Measure:
    """One number of a benchmark's table."""

    row: str
    """beginning of the row's first cell; empty: the last row; `*`: the mean of all rows"""
    column: str
    is_rate: bool = False
    """more is better"""


@dataclass(frozen=True)
class Compared:
    """A benchmark, its options, and the numbers that are compared."""

    module: str
    options: Sequence[str]
    measures: Sequence[Measure]


BENCHMARKS = {
    "throughput": Compared(
        "benchmarks.throughput",
        ("--no-peers", "--budget", "1500"),
        [Measure("orchestune run, first lease", "trials/s", is_rate=True)],
    ),
    "suggestion_wait": Compared(
        "benchmarks.suggestion_wait",
        ("--history", "10000", "--results", "60", "--workers", "100", "--interval", "0.25"),
        [Measure("", "median ms"), Measure("", "p99 ms")],
    ),
    "many_workers": Compared(
        "benchmarks.many_workers",
        ("--workers", "1000", "--seconds", "40"),
        [Measure("*", "cores of the server"), Measure("*", "beat median ms")],
    ),
}


def measured(checkout: Path, compared: Compared) -> list[float]:
    """Run the benchmark in a checkout and return its numbers, rates as seconds for each."""
    command = [str(checkout / ".venv/bin/python"), "-m", compared.module, *compared.options]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True, timeout=1800)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line[:1] == "|"
    ]
    head, body = rows[0], rows[2:]
    numbers = []
    for measure in compared.measures:
        chosen = body if measure.row == "*" else [each for each in body if each[0].startswith(measure.row)][-1:]
        number = statistics.fmean(float(row[head.index(measure.column)].replace(",", "")) for row in chosen)
        numbers.append(1 / number if measure.is_rate else number)
    return numbers


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of ratios with the 95 % interval of Student's t for their logarithms."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    half = student.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean - half), math.exp(mean), math.exp(mean + half)


def main() -> None:
    """Measure both in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    compared, own, other = BENCHMARKS[options.benchmark], Path(__file__).resolve().parents[1], options.other.resolve()
    print(table.machine())
    rounds = []
    for number in range(options.rounds):
        order = (own, other) if number % 2 else (other, own)
        numbers = {checkout: measured(checkout, compared) for checkout in order}
        rounds.append([mine / theirs for mine, theirs in zip(numbers[own], numbers[other], strict=True)])
        print(f"round {number + 1}: {', '.join(f'{ratio:.3f}' for ratio in rounds[-1])}", flush=True)
    rows = [
        [measure.column, len(rounds), *interval(ratios)]
        for measure, ratios in zip(compared.measures, zip(*rounds, strict=True), strict=True)
    ]
    table.show(f"{options.benchmark}: this checkout to the other", ["", "rounds", "low", "ratio", "high"], rows)


if __name__ == "__main__":
    main()
