"""Many trials of `sleep 1` on 16 slots, beside the ideal: how much the machinery between two trials costs.

`xargs -P16` runs the same command as often at the same time: what the machine itself, and who else uses it, costs.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from benchmarks import table
from tests.testbeds.home import Home

SLOTS = 16
RAY_DOCUMENTED = 715.0 / 625.0  # Ray Tune's documentation: 10,000 trials of one second on 16 cores took 715 s
COMMAND = "sleep 1; echo loss=$ORCHESTUNE_PARAM_X"
FILE = f"""\
name: sleep
run: {COMMAND}
parameters: {{{{x: 0.0..1.0}}}}
metrics: {{{{loss: minimize}}}}
budget: {{budget}}
parallelism: {{slots}}
engine: random
"""


def xargs(count: int) -> float:
    """Seconds that `xargs` takes with as many slots."""
    start = time.monotonic()
    command = ["xargs", f"-P{SLOTS}", "-n1", "sh", "-c", COMMAND]
    lines = "\n".join(map(str, range(count)))
    subprocess.run(command, input=lines, text=True, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def main() -> None:
    """Run them and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--budget", type=int, help="trials (10,000; quick: 800)")
    options = parser.parse_args()
    budget = options.budget or (800 if options.quick else 10_000)
    print(table.machine())
    ideal = budget / SLOTS
    with tempfile.TemporaryDirectory() as folder, Home() as home, ThreadPoolExecutor() as pool:
        beside = pool.submit(xargs, budget)
        Path(folder, "experiment.yml").write_text(FILE.format(budget=budget, slots=SLOTS))
        home.run("run", cwd=folder, timeout=4 * ideal + 300)
        [status] = home.json("status", cwd=folder)
    assert status["counts"]["completed"] == budget, status
    moments = [datetime.fromisoformat(status[name]) for name in ("started_at", "finished_at")]
    took = (moments[1] - moments[0]).total_seconds()
    rows: list[table.Row] = [
        ["ideal", ideal, 1.0],
        [f"xargs -P{SLOTS}, at the same time", beside.result(), beside.result() / ideal],
        ["orchestune, first lease to last result", took, took / ideal],
        ["Ray Tune, as its documentation tells (10,000 trials)", 10_000 / SLOTS * RAY_DOCUMENTED, RAY_DOCUMENTED],
    ]
    table.show(f"{budget:,} trials of `sleep 1` on {SLOTS} slots", ["", "seconds", "of ideal"], rows)


if __name__ == "__main__":
    main()
