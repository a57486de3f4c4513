"""Measure the delay and the losses of `orchestune logs --follow` with 100 trials that print 100 lines a second each.

Each line carries the trial, a number and the moment when it was written; the follower's clock is the same machine's.
Lines that were written before the follower had shown its first one waited for the command line to start: how long is
shown by itself, and the lag is that of the others.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import table
from tests.testbeds.home import Home

RATE = 100
PRINTER = """\
import os, sys, time
trial, seconds = os.environ["ORCHESTUNE_TRIAL"], {seconds}
start = time.monotonic()
for number in range(seconds * {rate}):
    wait = start + number / {rate} - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    sys.stdout.write(f"line {{trial}} {{number}} {{time.time():.4f}}\\n")
    sys.stdout.flush()
print("loss=" + os.environ["ORCHESTUNE_PARAM_X"])
"""
FILE = """\
name: chatty
run: python -S -E printer.py
parameters: {{x: 0.0..1.0}}
metrics: {{loss: minimize}}
budget: {trials}
parallelism: {trials}
engine: random
"""
LINE = re.compile(r"line (\d+) (\d+) (\d+\.\d+)")


def main() -> None:
    """Follow them and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seconds", type=int, help="how long each trial prints (60; quick: 15)")
    options = parser.parse_args()
    seconds = options.seconds or (15 if options.quick else 60)
    print(table.machine())
    lags: list[float] = []
    waited: list[float] = []
    began = 0.0
    numbers: dict[str, list[int]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, Home() as home:
        Path(folder, "printer.py").write_text(PRINTER.format(seconds=seconds, rate=RATE))
        Path(folder, "experiment.yml").write_text(FILE.format(trials=options.trials))
        handle = home.run("run", "--detach", cwd=folder).stdout.split()[-1]
        with home.start("logs", handle, "--follow", cwd=folder, stderr=None) as follower:
            assert follower.stdout is not None
            for line in follower.stdout:
                match = LINE.search(line)
                if match:
                    now, written = time.time(), float(match[3])
                    began = began or now
                    (lags if written > began else waited).append(now - written)
                    numbers[match[1]].append(int(match[2]))
        recorded = home.run("logs", handle, cwd=folder).stdout
    expected_count = options.trials * seconds * RATE
    ordered = sum(line_numbers == sorted(line_numbers) for line_numbers in numbers.values())
    distinct = sum(len(set(line_numbers)) for line_numbers in numbers.values())
    rows: list[table.Row] = [
        ["lines written", expected_count],
        ["lines followed", len(lags) + len(waited)],
        ["lines lost", expected_count - distinct],
        ["lines seen twice", len(lags) + len(waited) - distinct],
        ["lines in the record afterwards", len(LINE.findall(recorded))],
        ["trials whose lines came in order", f"{ordered} of {options.trials}"],
        ["lag, median (s)", table.percentile(lags, 0.5)],
        ["lag, p99 (s)", table.percentile(lags, 0.99)],
        ["lag, worst (s)", max(lags, default=float("nan"))],
        ["lines written before the follower showed one", len(waited)],
        ["and the longest that one of them waited (s)", max(waited, default=0.0)],
    ]
    table.show(f"{options.trials} trials, {RATE} lines/s each, {seconds} s", ["", "value"], rows)


if __name__ == "__main__":
    main()
