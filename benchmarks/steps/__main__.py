"""Count what each tool makes its user write and type for the examples, and run it: `python -m benchmarks.steps`.

`--run TOOL` runs every solution of a tool (those of peers with the Python of their environment), `--show EXAMPLE`
prints what was counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.peers.environment import peers_python
from benchmarks.steps import guild, hydra_optuna, optuna_, own, ray_tune, wandb_
from benchmarks.steps.solution import Solution
from benchmarks.steps.tasks import TASKS, Task

TOOLS: Mapping[str, Callable[[Task], Solution | None]] = {
    "Orchestune": own.solution,
    "Optuna": optuna_.solution,
    "Ray Tune": ray_tune.solution,
    "Hydra's Optuna": hydra_optuna.solution,
    "Guild": guild.solution,
    "W&B": wandb_.solution,
}
_OF_2023 = ["numpy<1.25", "pandas<2.1", "scipy<1.12", "scikit-learn<1.4", "scikit-optimize<0.10"]
"""what the last release of Guild knows"""
_LEARNING = ["scikit-learn", "xgboost-cpu", "lightgbm"]
PACKAGES = {
    "Optuna": ("steps-optuna", ["optuna>=5,<6", "optuna-integration", "pandas", "tomli-w", *_LEARNING]),
    "Ray Tune": ("steps-ray", ["ray[tune]>=2.40", "optuna>=5,<6", "tomli-w", *_LEARNING]),
    "Hydra's Optuna": ("steps-hydra", ["hydra-core>=1.3", "hydra-optuna-sweeper", "hydra-joblib-launcher"]),
    "Guild": ("steps-guild", [*_OF_2023, "guildai", "xgboost-cpu<3", "lightgbm<4.4"]),
}
"""the environment of each peer that is run, and what is installed there"""


def table() -> str:
    """The steps of each tool for each example."""
    lines = ["| example | " + " | ".join(TOOLS) + " |", "|---|" + "---|" * len(TOOLS)]
    for task in TASKS:
        cells = [_cell(find(task)) for find in TOOLS.values()]
        lines.append(f"| [{task.title}](../../examples/{task.example}/README.md) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(solution: Solution | None) -> str:
    return "–" if solution is None else str(solution.steps)


def show(task: Task) -> str:
    """The counts of an example."""
    parts = []
    for tool, find in TOOLS.items():
        solution = find(task)
        if solution is None:
            continue
        parts.append(f"# {tool}: {_cell(solution)}{f'; {solution.without}' if solution.without else ''}\n")
        parts += [f"$ {command}" for command in solution.commands]
        parts += [f"--- {name}\n{text}" for name, text in solution.files.items()]
        parts += [f"--- {change.file}: {change.old!r} →\n{change.new}" for change in solution.changes]
    return "\n".join(parts)


def run(task: Task, solution: Solution, python: Path) -> str:
    """Do it all in a new folder; how it went."""
    with tempfile.TemporaryDirectory(prefix="orchestune-steps-") as name:
        folder = Path(name)
        task.lay_out(folder)
        solution.lay_out(folder)
        path = f"{python.parent}:{os.environ['PATH']}"
        environ = {**os.environ, "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
        environ["GUILD_HOME"] = f"{folder}/.guild"  # else runs are compared with those of other examples
        Path(environ["GUILD_HOME"]).mkdir()
        began = time.monotonic()
        for command in solution.commands:
            done = subprocess.run(["sh", "-c", command], cwd=folder, env=environ, capture_output=True, text=True)
            if done.returncode:
                return f"failed: {command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        if solution.failure and solution.failure in done.stdout:
            return f"failed: {command}\n{done.stdout[-2000:]}"
        return f"done in {time.monotonic() - began:.0f} s: {' '.join(done.stdout.strip().splitlines()[-1:])[:150]}"


def main() -> int:
    """0, or 1 where a solution that was run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", metavar="TOOL", choices=["Orchestune", *PACKAGES], help="run all that is counted of it"
    )
    parser.add_argument("--show", metavar="EXAMPLE", choices=[task.name for task in TASKS])
    parser.add_argument("--only", metavar="EXAMPLE", choices=[task.name for task in TASKS], help="with --run: this one")
    args = parser.parse_args()
    if args.show:
        print(show(next(task for task in TASKS if task.name == args.show)))
        return 0
    if not args.run:
        print(table(), end="")
        return 0
    python, failed = Path(sys.executable), 0
    if args.run in PACKAGES:
        python = peers_python(*PACKAGES[args.run])
    for task in TASKS:
        solution = TOOLS[args.run](task)
        if solution is None or args.only not in (None, task.name):
            continue
        outcome = run(task, solution, python)
        failed += outcome.startswith("failed")
        print(f"{task.title}: {outcome}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
