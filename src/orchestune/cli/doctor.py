"""`orchestune doctor`: what is wrong on this machine, and what to do about it."""

from __future__ import annotations

import argparse

from orchestune.cli.console import Console
from orchestune.cli.findings import show
from orchestune.cli.parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    add_command(
        commands,
        "doctor",
        doctor,
        details="Exit code 1 when something is an error.",
        example="orchestune doctor",
    )


def doctor(console: Console, args: argparse.Namespace) -> int:
    """Run every check; 1 where one of them found an error."""
    from orchestune.client.doctor import checks  # only this command looks at the machine

    return show(console, checks(console.environ))
