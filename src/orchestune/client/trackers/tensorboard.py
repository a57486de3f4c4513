"""Runs as event files of TensorBoard, in a folder per trial: `DIR/sgd-7f3a/12`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestune.client.trackers.tracker import TrackedTrial, TrackerFailed, Value
from orchestune.system.private import refuse_links_of_others

_FAILED = ("failed", "cancelled")


class TensorBoard:
    """A folder of event files. An earlier export of the same trial there is replaced."""

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboardX  # an extra; slow to import
        except ImportError as exc:
            raise TrackerFailed("tensorboardX is not installed", "pip install 'orchestune[tensorboard]'") from exc
        self._writer = tensorboardX.SummaryWriter
        self._folder = folder
        self.place = str(folder)

    def open(self, trial: TrackedTrial) -> EventFileRun:
        """Begin the event file of a trial."""
        folder = self._folder / trial.handle / str(trial.number)
        try:
            refuse_links_of_others(self._folder, folder / "events")
        except PermissionError as exc:
            raise TrackerFailed(f"cannot write '{folder}': {exc.strerror}", "choose another folder with -o") from exc
        for file in folder.glob("events.out.tfevents.*.orchestune"):
            file.unlink()
        # `flush` of tensorboardX does not wait for its thread; that flushes by itself
        return EventFileRun(self._writer(str(folder), flush_secs=1, filename_suffix=".orchestune"))


class EventFileRun:
    """The event file of one trial."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._last: dict[str, tuple[int, float]] = {}

    def log(self, values: Sequence[Value]) -> None:
        """Add values; TensorBoard's steps are integers."""
        for name, step, value in values:
            self._writer.add_scalar(name, value, round(step))
            self._last[name] = (round(step), value)

    def finish(self, trial: TrackedTrial) -> None:
        """Add final values that were not reported as the last ones, and the parameters for the HParams tab."""
        from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo  # see TensorBoard
        from tensorboardX.summary import hparams

        for name, value in trial.metrics.items():
            step, last = self._last.get(name, (-1, None))
            if value != last:
                self._writer.add_scalar(name, value, step + 1)
        self._writer.add_text("state", f"{trial.state} {trial.reason}".strip())
        experiment, session_start, session_end = hparams(dict(trial.parameters), dict(trial.metrics))
        status = "STATUS_FAILURE" if trial.state in _FAILED else "STATUS_SUCCESS"
        end = HParamsPluginData(session_end_info=SessionEndInfo(status=status))
        session_end.value[0].metadata.plugin_data.content = end.SerializeToString()
        for summary in (experiment, session_start, session_end):
            self._writer.file_writer.add_summary(summary)
        self._writer.close()

    def abandon(self) -> None:
        """Close the file; the next export replaces it."""
        self._writer.close()
