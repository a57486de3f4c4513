"""`orchestune doctor`: what is wrong on this machine, and what to do about it."""

from __future__ import annotations

import argparse

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.findings import show
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.client.address import named_server
from orchestune.errors import UsageError


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "doctor",
        doctor,
        details="Exit code 1 when something is an error.",
        example="orchestune doctor\norchestune doctor --restart",
    )
    parser.add_argument(
        "--restart", action="store_true",
        help="first start this user's server anew: with the code that is installed now and the environment of this"
        " command (such as DOCKER_HOST). What runs goes on",
    )  # fmt: skip


def doctor(console: Console, args: argparse.Namespace) -> int:
    """Run every check; 1 where one of them found an error."""
    from orchestune.client.doctor.machine import checks  # only this command looks at the machine
    from orchestune.client.local.embedded import connect  # and it alone starts a server anew

    if args.restart:
        if named_server(console.environ):
            raise UsageError("ORCHESTUNE_SERVER names a server that its operator starts", "unset it for your own one")
        connect(anew=True, environ=console.environ)
    return show(console, checks(console.environ))
