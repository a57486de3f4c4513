"""Start of an experiment, shared by `run` and `rerun`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts

if TYPE_CHECKING:
    from orchestune import documents


def add_detach_option(parser: argparse.ArgumentParser) -> None:
    """Add `--detach`."""
    parser.add_argument("--detach", "-d", action="store_true", help="print the handle and exit instead of following")


def start(
    console: Console,
    create: Callable[[], documents.Status],
    heading: Callable[[documents.Status], Sequence[str]],
    folder: str,
    inputs: str,
    detach: bool,
) -> int:
    """Create an experiment and follow it under its heading; with `detach` only print its handle. Returns the exit code.

    Ctrl-C during the creation counts as pressed right after it, so that no experiment runs without the user knowing its
    handle. `folder`: the server's key of the folder, by which other commands find the experiment. `inputs`: the digest
    of what it reads on this machine.
    """

    def begin() -> documents.Status:
        status = create()
        console.remember(status, folder, inputs)
        if not detach and not console.json:
            console.say(*heading(status), "")
        return status

    if not detach:
        from orchestune.cli.experiments.follow import follow  # after the plan, which a user waits for

        return follow(console, begin)
    with Interrupts():
        status = begin()
    return console.result(status, status["handle"])
