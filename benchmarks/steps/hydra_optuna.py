"""The sweeper of Optuna for Hydra, with the launcher of joblib for several trials at a time."""

from __future__ import annotations

import shlex

from benchmarks.steps.own import hydra_space
from benchmarks.steps.solution import Solution
from benchmarks.steps.tasks import TRIALS, Task


def solution(task: Task) -> Solution | None:
    """None where the program is none of Hydra."""
    if task.kind != "hydra":
        return None
    words = ["hydra/sweeper=optuna", f"hydra.sweeper.n_trials={TRIALS}", "hydra/launcher=joblib"]
    words += hydra_space(task)  # a batch is of two as it is, and joblib runs all of a batch at a time
    return Solution((shlex.join([*task.command, "-m", *words]),), without="batches: a slow trial holds up the others")
