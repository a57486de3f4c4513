"""`cluster test`: check everything that an experiment needs, and suggest a fix for each problem."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters.shared import add_name, registered
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.findings import show
from orchestune.cli.terminal.parser import Commands, add_command


def add(inner: Commands) -> None:
    """Register the command."""
    parser = add_command(
        inner,
        "test",
        test,
        help="check permissions, registry, a pod per pool, DNS, the server and GPUs",
        details="Suggests a fix for each problem. Exits with 1 if a check finds an error.",
        example="orchestune cluster test -n lab",
    )
    add_name(parser, required=False)


def test(console: Console, args: argparse.Namespace) -> int:
    """Run every check and print each result as it arrives; returns 1 if one is an error."""
    from orchestune.cli.clusters.checks import checks  # imports pods and registries, slow

    return show(console, checks(console, registered(console, args.name)))
