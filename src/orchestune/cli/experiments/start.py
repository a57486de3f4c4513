"""How `run` and `rerun` start their experiment."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestune.cli.experiments.follow import follow
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts

if TYPE_CHECKING:
    from orchestune import documents


def add_detach_option(parser: argparse.ArgumentParser) -> None:
    """`--detach`."""
    parser.add_argument("--detach", "-d", action="store_true", help="do not follow; print the handle alone")


def start(
    console: Console,
    create: Callable[[], documents.Status],
    heading: Callable[[documents.Status], Sequence[str]],
    folder: str,
    detach: bool,
) -> int:
    """Create an experiment and follow it under its heading; with `detach` print its handle alone. The exit code.

    Ctrl-C while it is created counts as pressed right after it: an experiment that nobody was told of must not run.
    `folder`: as the server knows it, so that other commands find the experiment from there.
    """

    def begin() -> documents.Status:
        status = create()
        console.remember(status, folder)
        if not detach and not console.json:
            console.say(*heading(status), "")
        return status

    if not detach:
        return follow(console, begin)
    with Interrupts():
        status = begin()
    return console.result(status, status["handle"])
