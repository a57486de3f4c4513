"""`orchestune doctor`: check this machine and suggest a fix for each problem."""

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
        details="Exits with 1 if a check finds an error.",
        example="orchestune doctor\norchestune doctor --restart",
    )
    parser.add_argument(
        "--restart", action="store_true",
        help="first restart this user's server with the installed code and the environment of this command (such as"
        " DOCKER_HOST); running trials continue",
    )  # fmt: skip


def doctor(console: Console, args: argparse.Namespace) -> int:
    """Run every check; exit code 1 if one of them found an error."""
    from orchestune.client.doctor.machine import checks  # only needed by this command
    from orchestune.client.local.embedded import connect  # as above

    if args.restart:
        if named_server(console.environ):
            raise UsageError(
                "cannot restart the server in ORCHESTUNE_SERVER: its operator runs it",
                "unset the variable to restart your own server",
            )
        connect(restart=True, environ=console.environ)
    return show(console, checks(console.environ))
