"""Trivial trials per second: `orchestune run` beside `xargs` with the same command, Optuna with SQLite, and Ray Tune.

All of them run `sh -c 'echo loss=$ORCHESTUNE_PARAM_X'` once per trial. The peers get as many processes as there are
cores; their rate is that of the trials alone, without the seconds that they need to start.

A sync takes tens of microseconds where capacitors let a disk answer before it has written, or a virtual machine's host
does; an SSD of a laptop takes one to some milliseconds. `--sync-ms` adds so much to every sync of all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from benchmarks import table
from benchmarks.peers.environment import peers_python
from tests.testbeds.home import Home

COMMAND = "echo loss=$ORCHESTUNE_PARAM_X"
CORES = len(os.sched_getaffinity(0))
FILE = """\
name: trivial trials
run: {command}
parameters: {{x: 0.0..1.0}}
metrics: {{loss: minimize}}
budget: {budget}
parallelism: {parallelism}
engine: random
"""


def xargs(count: int) -> float:
    """Commands per second of `xargs -P$(nproc)`."""
    start = time.monotonic()
    subprocess.run(
        ["xargs", f"-P{CORES}", "-n1", "sh", "-c", COMMAND],
        input="\n".join(map(str, range(count))),
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "ORCHESTUNE_PARAM_X": "0.123456789"},
    )
    return count / (time.monotonic() - start)


def orchestune(budget: int, parallelism: int) -> tuple[float, float]:
    """Trials per second of the whole command (server and workers start in it), and from first lease to last result."""
    with tempfile.TemporaryDirectory() as folder, Home() as home:
        Path(folder, "experiment.yml").write_text(FILE.format(command=COMMAND, budget=budget, parallelism=parallelism))
        start = time.monotonic()
        home.run("run", cwd=folder, timeout=1800)
        whole = time.monotonic() - start
        [status] = home.json("status", cwd=folder)
        assert status["counts"]["completed"] == budget, status
        moments = [datetime.fromisoformat(status[name]) for name in ("started_at", "finished_at")]
        return budget / whole, budget / (moments[1] - moments[0]).total_seconds()


@contextmanager
def slower_disk(milliseconds: float) -> Iterator[None]:
    """Every sync of a file takes so much longer in the programs that are started meanwhile. Needs a C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "slow_sync.so")
        source = Path(__file__).with_name("slow_sync.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
        before = dict(os.environ)
        os.environ.update(LD_PRELOAD=str(library), SLOW_SYNC_US=str(round(1000 * milliseconds)))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def sync_seconds(count: int = 200) -> float:
    """Return the median time in which the disk has synced a page."""
    program = (
        "import os, sys, time, statistics\n"
        "file, found = os.open('page', os.O_RDWR | os.O_CREAT), []\n"
        f"for _ in range({count}):\n"
        "    os.pwrite(file, bytes(4096), 0); start = time.monotonic()\n"
        "    os.fdatasync(file); found.append(time.monotonic() - start)\n"
        "print(statistics.median(found))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder)
    return float(done.stdout)


def peer(name: str, python: Path, count: int) -> float:
    """Trials per second of the peer's script; NaN where it cannot run here."""
    script = Path(__file__).parent / "peers" / f"{name}.py"
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), str(script), str(count), str(CORES), COMMAND]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=1800)
    if done.returncode:
        print(f"{name} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}", file=sys.stderr)
        return float("nan")
    return float(json.loads(done.stdout.splitlines()[-1])["trials_per_second"])


def main() -> None:
    """Measure all of them, `xargs` before and after, and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--budget", type=int, help="trials of Orchestune (2,000; quick: 500)")
    parser.add_argument("--parallelism", type=int, default=16)
    parser.add_argument(
        "--peer-trials", type=int, help="trials of each peer, which is slower with more (300; quick: 60)"
    )
    parser.add_argument("--no-peers", action="store_true", help="xargs alone")
    parser.add_argument("--sync-ms", type=float, help="how much longer every sync of a file takes (0)")
    options = parser.parse_args()
    with slower_disk(options.sync_ms) if options.sync_ms else nullcontext():
        _measure(options)


def _measure(options: argparse.Namespace) -> None:
    budget = options.budget or (500 if options.quick else 2000)
    peer_trials = options.peer_trials or (60 if options.quick else 300)
    print(f"{table.machine()}; a sync takes {1000 * sync_seconds():.2f} ms")
    python = None if options.no_peers else peers_python()
    bound = xargs(budget)
    whole, inner = orchestune(budget, options.parallelism)
    bound = (bound + xargs(budget)) / 2
    rows: list[table.Row] = [
        [f"xargs -P{CORES}", budget, bound, 1.0, inner / bound],
        ["orchestune run, first lease to last result", budget, inner, inner / bound, 1.0],
        ["orchestune run, the whole command", budget, whole, whole / bound, inner / whole],
    ]
    for name, label in (("optuna_sqlite", "Optuna, SQLite"), ("ray_tune", "Ray Tune, reuse_actors")):
        if python:
            rate = peer(name, python, peer_trials)
            rows.append([f"{label}, {CORES} processes", peer_trials, rate, rate / bound, inner / rate])
    head = ["", "trials", "trials/s", "of xargs", "orchestune, trials alone, is ... times as fast"]
    table.show(f"Trivial trials, random search, parallelism {options.parallelism}", head, rows)


if __name__ == "__main__":
    main()
