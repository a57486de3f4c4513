"""Measure `orchestune run` of a script: seconds to its plan, first result and end, without and with a running server.

    python -m benchmarks.cold_start [--program OTHER/bin/orchestune]

With `--program` the two programs run in turn. Python's cache of compiled modules is used, as it is for users.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import table
from tests.testbeds.home import Home

_SCRIPT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, default=0.5)
print("loss:", (parser.parse_args().x - 0.3) ** 2)
"""
_COMMAND = ("run", "--minimize", "loss", "x=0.0..1.0", "--budget", "3", "--", "python", "train.py", "{args}")
_MARKS = {"plan": "plan       ", "first result": "1/3  ", "end": "best  "}


def once(home: Home, folder: str) -> dict[str, float]:
    """Return the seconds from the start of the command to each mark in its output."""
    seconds, began = {}, time.perf_counter()
    with home.start(*_COMMAND, cwd=folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            for name, mark in _MARKS.items():
                if line.strip().startswith(mark.strip()) and name not in seconds:
                    seconds[name] = time.perf_counter() - began
    return seconds


def main() -> None:
    """Print a table for each program."""
    parser = table.arguments(__doc__.partition("\n")[0])
    parser.add_argument("--program", metavar="PATH", help="another version of `orchestune`, to run in turn")
    options = parser.parse_args()
    print(table.machine())
    own = str(Path(sys.executable).with_name("orchestune"))
    programs = {"this": own, **({"other": options.program} if options.program else {})}
    samples: dict[tuple[str, str], list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        homes = {name: stack.enter_context(Home([program])) for name, program in programs.items()}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder, "train.py").write_text(_SCRIPT)
        for home in homes.values():
            home.env.pop("PYTHONDONTWRITEBYTECODE", None)
            once(home, folder)  # compiles the modules; from now on the plan is the short one
        for _ in range(3 if options.quick else 10):
            for name, home in homes.items():
                home.run("server", "--stop", expect=None)
                samples.setdefault((name, "no server"), []).append(once(home, folder))
                samples.setdefault((name, "server runs"), []).append(once(home, folder))
    rows = [
        (*key, *(f"{statistics.median(run[mark] for run in runs):.2f}" for mark in _MARKS))
        for key, runs in samples.items()
    ]
    table.show("`orchestune run`, median seconds", ("program", "", *_MARKS), rows)


if __name__ == "__main__":
    main()
