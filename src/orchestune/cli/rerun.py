"""`rerun`: repeat one trial exactly, or go on with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command, add_experiment
from orchestune.cli.starting import add_detach_option, start
from orchestune.client.launch import folder_key, owner, secret_values
from orchestune.sdk.submitting import how_packed, launch

if TYPE_CHECKING:
    from orchestune import documents


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "rerun",
        rerun,
        example="orchestune rerun sgd-7f3a/12\norchestune rerun sgd-7f3a/12 --continue",
    )
    add_experiment(parser, trial="must")
    parser.add_argument(
        "--continue", action="store_true", dest="go_on", help="start from the trial's checkpoint: train the best longer"
    )
    add_detach_option(parser)


def rerun(console: Console, args: argparse.Namespace) -> int:
    """Start it with this shell's environment, and follow it like `run`."""
    ref, number = console.trial(args.exp)
    origin = console.client.specification(ref, console.client.trial(ref, number)["revision"])
    launched = origin["launch"] or {}
    sources = [(item["name"], item["source"]) for item in origin["specification"].get("secrets") or ()]
    folder = Path(launched.get("root") or console.folder)
    links = launched.get("links") or ()
    folder_here = folder_key(console.folder)
    body = {
        **({} if console.place.told_who else {"owner": owner(console.environ)}),
        "continue": bool(args.go_on),
        "launch": launch(console.place, launched.get("root"), links, how_packed(launched), console.environ),
        "secrets": secret_values(sources, console.environ, folder),
        "folder": folder_here,
    }

    def heading(status: documents.Status) -> list[str]:
        what = "goes on with" if args.go_on else "repeats"
        return [f"{console.paint.bold(status['handle'])} {what} {status['origin'] or f'{ref}/{number}'}"]

    return start(console, lambda: console.client.rerun(ref, number, body), heading, folder_here, args.detach)
