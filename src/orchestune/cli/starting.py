"""What `run` and `rerun` do once their experiment is there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from orchestune.cli.console import Console
from orchestune.cli.follow import follow
from orchestune.client.documents import Status


def add_detach_option(parser: argparse.ArgumentParser) -> None:
    """`--detach`."""
    parser.add_argument("--detach", "-d", action="store_true", help="do not follow; print the handle alone")


def started(console: Console, status: Status, heading: Sequence[str], folder: str, *, detach: bool) -> int:
    """Follow it under its heading; with `detach` print its handle alone. The exit code.

    `folder`: as the server knows it, so that other commands find the experiment from there.
    """
    console.remember(status, folder)
    if detach:
        if console.json:
            console.document(status)
        else:
            console.say(status["handle"])
        return 0
    if not console.json:
        console.say(*heading, "")
    return follow(console, status)
