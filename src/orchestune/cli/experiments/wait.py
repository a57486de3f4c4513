"""`wait`: block until an experiment has ended."""

from __future__ import annotations

import argparse

from orchestune.cli.experiments.follow import conclude, follow
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.client.states import over


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "wait",
        wait,
        example="orchestune wait sgd-7f3a && orchestune best sgd-7f3a",
    )
    add_experiment(parser)


def wait(console: Console, args: argparse.Namespace) -> int:
    """Block silently until the experiment has ended."""
    status = console.client.experiment(console.experiment(args.exp))
    if over(status):
        return conclude(console, status, quiet=True)
    return follow(console, lambda: status, quiet=True)
