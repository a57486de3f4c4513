"""Ray Tune with reused actors, whose trials start the command: TRIALS PROCESSES COMMAND."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

os.environ.setdefault("RAY_DEDUP_LOGS", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune


class Command(tune.Trainable):  # type: ignore[misc]  # ray has no types here
    """One step is one run of the command."""

    def setup(self, config: dict[str, object]) -> None:
        """Remember the configuration."""
        self.configuration = config

    def reset_config(self, new_config: dict[str, object]) -> bool:
        """Say that the actor may be used again."""
        self.configuration = new_config
        return True

    def step(self) -> dict[str, object]:
        """Run the command once."""
        environment = {**os.environ, "ORCHESTUNE_PARAM_X": str(self.configuration["x"])}
        command = ["sh", "-c", str(self.configuration["command"])]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return {"loss": float(done.stdout.split("=")[1]), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to keep."""


def main() -> None:
    """Print the rate from the first trial's start as JSON; the seconds of `ray.init` are not counted."""
    trials, processes, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    ray.init(num_cpus=processes, include_dashboard=False, log_to_driver=False, logging_level="error")
    tuner = tune.Tuner(
        Command,
        param_space={"x": tune.uniform(0, 1), "command": command},
        tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=True, metric="loss", mode="min"),
        run_config=tune.RunConfig(
            verbose=0,
            storage_path=os.getcwd(),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    start = time.monotonic()
    results = tuner.fit()
    wall = time.monotonic() - start
    assert len(results) == trials, "some trials are missing"
    assert not results.errors, results.errors
    print(json.dumps({"trials_per_second": trials / wall}))
    ray.shutdown()


if __name__ == "__main__":
    main()
