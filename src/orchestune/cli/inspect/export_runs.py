"""`export --to`: trials as runs of an experiment tracker.

The client does this, not the server: the libraries of trackers are the user's, with their versions, logins and
folders. `mlflow:` in the experiment file is recorded by the server because MLflow has a plain HTTP interface.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.client.trackers.follow import Export
from orchestune.domain.words import plural
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents
    from orchestune.client.trackers.tracker import Tracker


def export_runs(console: Console, args: argparse.Namespace) -> int:
    """Create a run for each trial; with `--follow` until the experiment has ended."""
    if args.format:
        raise UsageError("--to cannot be combined with --format", "remove one of them")
    status = console.client.experiment(console.experiment(args.exp))
    tracker = _tracker(args, status)
    export = Export(console.client, status, tracker)
    try:
        if args.follow:
            export.follow()
        else:
            export.finished_trials()
    finally:  # also after Ctrl-C
        console.note(f"{status['handle']}: {plural(export.exported, 'run')} completed in {tracker.place}")
    running = status["counts"]["running"]
    if running and not args.follow:
        console.note(f"{plural(running, 'running trial')} left out; --follow includes them")
    return 0


def _tracker(args: argparse.Namespace, status: documents.Status) -> Tracker:
    """Return the tracker that `--to` names. Each module imports its library, which may not be installed."""
    project = args.project or status["name"]
    if args.to == "tensorboard":
        from orchestune.client.trackers.tensorboard import TensorBoard

        if args.project:
            raise UsageError("TensorBoard has no projects", "choose the folder with -o")
        return TensorBoard(Path(args.output or "runs"))
    if args.to == "trackio":
        from orchestune.client.trackers.trackio import Trackio

        return Trackio(project, args.output)
    from orchestune.client.trackers.wandb import WeightsAndBiases

    return WeightsAndBiases(project, Path(args.output) if args.output else None)
