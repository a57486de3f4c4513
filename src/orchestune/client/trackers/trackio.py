"""Runs of trackio, in its folder on this machine, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL point to."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from orchestune.client.trackers.tracker import TrackedTrial, TrackerFailed, Value


class Trackio:
    """A project of trackio; the experiment is a group, a trial a run. Replaces runs of an earlier export."""

    def __init__(self, project: str, folder: str | None) -> None:
        if folder:
            os.environ["TRACKIO_DIR"] = folder  # read when it is imported
        try:
            import trackio  # an extra; slow to import
        except ImportError as exc:
            raise TrackerFailed("trackio is not installed", "pip install 'orchestune[trackio]'") from exc
        self._trackio: Any = trackio
        self._project = project
        self.place = f"project {project}"

    def open(self, trial: TrackedTrial) -> TrackioRun:
        """Begin the run of a trial."""
        with redirect_stdout(io.StringIO()):  # it announces every run
            for run in self._existing_runs():
                if run.name == trial.name:
                    run.delete()
            run = self._trackio.init(
                project=self._project,
                name=trial.name,
                group=trial.handle,
                config=dict(trial.parameters),
                embed=False,
                auto_log_cpu=False,  # the usage of this machine is not the trial's
                auto_log_gpu=False,
            )
        return TrackioRun(run)

    def _existing_runs(self) -> list[Any]:
        try:
            return list(self._trackio.Api().runs(self._project))
        except ValueError:  # the project does not exist yet
            return []


class TrackioRun:
    """The run of one trial."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._last_step = 0

    def log(self, values: Sequence[Value]) -> None:
        """Add values; trackio's steps are integers."""
        for name, step, value in values:
            self._last_step = max(self._last_step, round(step))
            self._run.log({name: value}, step=round(step))

    def finish(self, trial: TrackedTrial) -> None:
        """Record the final values and the state, one step after the last."""
        end = {**trial.metrics, "state": trial.state} | ({"reason": trial.reason} if trial.reason else {})
        self._run.log(end, step=self._last_step + 1)
        self.abandon()

    def abandon(self) -> None:
        """Close the run."""
        with redirect_stdout(io.StringIO()):
            self._run.finish()
