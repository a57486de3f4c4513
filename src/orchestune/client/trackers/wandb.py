"""Runs of Weights & Biases, online, or offline with WANDB_MODE=offline."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestune.client.trackers.tracker import TrackedTrial, TrackerFailed, Value

_STATE = "orchestune.state"
"""summary of a completed run: the state of the trial"""
_EXIT_CODES = {"failed": 1, "cancelled": 255}
"""W&B calls 0 finished, 1 failed and 255 killed"""


class WeightsAndBiases:
    """A project of W&B; the experiment is a group, a trial a run."""

    def __init__(self, project: str, folder: Path | None) -> None:
        try:
            import wandb  # an extra; slow to import
        except ImportError as exc:
            raise TrackerFailed("wandb is not installed", "pip install 'orchestune[wandb]'") from exc
        self._wandb: Any = wandb
        self._project, self._folder = project, folder
        self.place = project

    def open(self, trial: TrackedTrial) -> WandbRun | None:
        """Begin the run of a trial, or another one if an export that was interrupted has left an incomplete one."""
        if not self._drop_offline(trial):
            return None
        for attempt in range(1, 100):
            run = self._init(trial, f"{trial.experiment}-{trial.number}" + (f"-{attempt}" if attempt > 1 else ""))
            if not run.resumed:
                return WandbRun(run)
            is_complete = run.summary.get(_STATE) is not None
            run.finish()
            if is_complete:
                return None
        raise TrackerFailed(f"{trial.name} has 100 incomplete runs in W&B", "delete them there")

    def _init(self, trial: TrackedTrial, identity: str) -> Any:
        try:
            return self._wandb.init(
                project=self._project,
                dir=self._folder,
                group=trial.handle,
                job_type="trial",
                name=trial.name,
                id=identity,
                config=dict(trial.parameters),
                resume="allow",
                reinit="create_new",  # runs of other trials stay open
                # nothing of this process belongs to the trial: no console, no code, no usage of the machine
                settings=self._wandb.Settings(
                    silent=True, console="off", disable_code=True, disable_git=True, x_disable_stats=True
                ),
            )
        except self._wandb.Error as exc:
            raise TrackerFailed(f"W&B: {exc}", "run `wandb login`, or set WANDB_MODE=offline") from exc

    def _drop_offline(self, trial: TrackedTrial) -> bool:
        """Delete what an offline export wrote and W&B does not have yet. Return False if it has been synchronized."""
        root = (self._folder or Path.cwd()) / "wandb"
        for folder in root.glob("offline-run-*"):
            if not folder.name.endswith(f"-{trial.experiment}-{trial.number}"):
                continue
            if any(folder.glob("*.synced")):
                return False
            shutil.rmtree(folder)
        return True


class WandbRun:
    """The run of one trial."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._defined: set[str] = set()

    def log(self, values: Sequence[Value]) -> None:
        """Add values. Their steps are a metric of their own, since W&B's own steps can only grow."""
        for name, step, value in values:
            if name not in self._defined:
                self._defined.add(name)
                self._run.define_metric(name, step_metric="step")
            self._run.log({name: value, "step": step})

    def finish(self, trial: TrackedTrial) -> None:
        """Record the final values and the state."""
        self._run.summary.update({**trial.metrics, _STATE: trial.state, "orchestune.reason": trial.reason})
        self._run.finish(exit_code=_EXIT_CODES.get(trial.state, 0))

    def abandon(self) -> None:
        """Close the run as killed."""
        self._run.finish(exit_code=255)
