"""Measure the start of `orchestune --help` and `orchestune status` beside the interpreter's own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import table
from tests.testbeds.home import Home

FILE = """\
name: something to show
run: echo loss=$ORCHESTUNE_PARAM_X
parameters: {x: 0.0..1.0}
metrics: {loss: minimize}
budget: 20
engine: random
"""


def once(command: Sequence[str], env: dict[str, str], folder: str) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    subprocess.run(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Time them in turns, so that a busy moment hits all of them alike."""
    parser = table.arguments(__doc__)
    options = parser.parse_args()
    rounds = 15 if options.quick else 60
    print(table.machine())
    program = str(Path(sys.executable).with_name("orchestune"))
    with Home([program]) as home, tempfile.TemporaryDirectory() as folder:
        Path(folder, "experiment.yml").write_text(FILE)
        home.run("run", cwd=folder)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "orchestune --help": [program, "--help"],
            "orchestune status": [program, "status"],
            "orchestune status --json": [program, "status", "--json"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        environment = {**home.env, "PATH": os.environ["PATH"]}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(once(command, environment, folder))
    base = statistics.median(times["python -c pass"])
    limits = {"orchestune --help": "200 ms", "orchestune status": "300 ms"}
    rows: list[table.Row] = [
        [name, 1000 * statistics.median(durations), 1000 * (statistics.median(durations) - base), limits.get(name, "")]
        for name, durations in times.items()
    ]
    table.show(f"Command line, median of {rounds}", ["", "ms", "ms over the interpreter", "wanted at most"], rows)


if __name__ == "__main__":
    main()
