"""`cluster test`: everything that an experiment there needs, tried one by one, with what to do about each finding."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters.shared import add_name, registered
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.findings import show
from orchestune.cli.terminal.parser import Commands, add_command


def add(inner: Commands) -> None:
    """Add the command."""
    parser = add_command(
        inner,
        "test",
        test,
        help="try permissions, registry, a pod of each pool, DNS, the server, GPUs",
        details="Each finding says what to do. Exit code 1 when something is an error.",
        example="orchestune cluster test -n lab",
    )
    add_name(parser, required=False)


def test(console: Console, args: argparse.Namespace) -> int:
    """Run every check, show each finding as soon as it is there; 1 where one is an error."""
    from orchestune.cli.clusters.checks import checks  # pods and registries take more modules than other commands

    return show(console, checks(console, registered(console, args.name)))
