"""Measure the time that `preload` saves: trials that import a library and do little else, with and without it.

`--python` is the Python of the trials, which needs the libraries; those that it lacks are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from statistics import median

from benchmarks import table
from tests.testbeds.home import Home

CORES = len(os.sched_getaffinity(0))
LIBRARIES = {
    "scikit-learn": ("sklearn.linear_model", "sklearn.datasets", "sklearn.model_selection"),
    "pandas": ("pandas",),
    "torch": ("torch",),
}
WORK = {
    "scikit-learn": "x, y = sklearn.datasets.load_iris(return_X_y=True)\n"
    "loss = 1 - sklearn.linear_model.SGDClassifier(alpha=0.01).fit(x, y).score(x, y)",
    "pandas": "loss = float(pandas.DataFrame({'a': range(100)}).a.mean())",
    "torch": "loss = float((torch.ones(8, 8) @ torch.ones(8, 8)).mean())",
}


def once(python: str, library: str, preload: bool, budget: int) -> tuple[float, float]:
    """Trials per second from first lease to last result without the first `CORES`, and median seconds of a trial."""
    modules = LIBRARIES[library]
    with tempfile.TemporaryDirectory() as folder, Home() as home:
        script = "".join(f"import {name}\n" for name in ("os", *modules)) + f"{WORK[library]}\n"
        script += "print('loss', loss + float(os.environ['ORCHESTUNE_PARAM_X']), sep='=')\n"
        Path(folder, "train.py").write_text(script)
        document = {
            "name": library,
            "run": [python, "train.py"],
            "parameters": {"x": "0.0..1.0"},
            "metrics": {"loss": "minimize"},
            "budget": budget,
            "parallelism": CORES,
            "engine": "random",
            "resources": {"cpu": 1},
            **({"preload": list(modules)} if preload else {}),
        }
        Path(folder, "experiment.yml").write_text(json.dumps(document))
        home.run("run", cwd=folder, timeout=3600)
        [status] = home.json("status", cwd=folder)
        trials = home.json("trials", status["handle"], cwd=folder)
        attempts = [trial["attempts"][-1] for trial in trials]
        ends = sorted(datetime.fromisoformat(attempt["finished_at"]).timestamp() for attempt in attempts)[CORES - 1 :]
        return (len(ends) - 1) / (ends[-1] - ends[0]), median(attempt["wall_seconds"] for attempt in attempts)


def main() -> None:
    """Measure each library in turns and print the table."""
    parser = table.arguments(__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--budget", type=int, help="trials of each (100; quick: 20)")
    options = parser.parse_args()
    budget = options.budget or (20 if options.quick else 100)
    print(table.machine())
    rows: list[table.Row] = []
    for library, modules in LIBRARIES.items():
        if subprocess.run([options.python, "-c", f"import {modules[0]}"], capture_output=True, check=False).returncode:
            continue
        (without, alone), (rate, copy) = (once(options.python, library, preload, budget) for preload in (False, True))
        rows.append([library, 1000 * alone, 1000 * copy, alone / copy, without, rate, rate / without])
    head = ["", "ms a trial", "ms, preloaded", "ratio", "trials/s", "trials/s, preloaded", "ratio"]
    table.show(f"Trials that import a library, {budget} each, parallelism {CORES}", head, rows)


if __name__ == "__main__":
    main()
