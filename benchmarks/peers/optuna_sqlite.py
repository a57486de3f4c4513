"""Optuna with one SQLite file, driven by several processes that start the command: TRIALS PROCESSES COMMAND."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time

import optuna

STORAGE = "sqlite:///study.db"


def work(count: int, command: str) -> None:
    """Run `count` trials of the shared study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        environment = {**os.environ, "ORCHESTUNE_PARAM_X": str(trial.suggest_float("x", 0, 1))}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env=environment)
        return float(done.stdout.split("=")[1])

    sampler = optuna.samplers.RandomSampler()
    optuna.load_study(study_name="trivial", storage=STORAGE, sampler=sampler).optimize(objective, n_trials=count)


def main() -> None:
    """Print the rate as JSON."""
    trials, processes, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name="trivial", storage=STORAGE, direction="minimize")
    shares = [trials // processes + (index < trials % processes) for index in range(processes)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(share, command)) for share in shares]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall = time.monotonic() - start
    assert len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == trials
    print(json.dumps({"trials_per_second": trials / wall}))


if __name__ == "__main__":
    main()
