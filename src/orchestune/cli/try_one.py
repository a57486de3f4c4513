"""`test`: one configuration, now, on this machine, with nothing recorded."""

from __future__ import annotations

import argparse

from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command
from orchestune.cli.run import add_file_options


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "test",
        test,
        help="run one configuration now, and show which metrics were understood",
        details="Needs no server and records nothing.",
        example="orchestune test\norchestune test -p alpha=0.01 -p penalty=l1",
    )
    add_file_options(parser)
    parser.add_argument(
        "-p",
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the value of a parameter; may be repeated",
    )


def test(console: Console, args: argparse.Namespace) -> int:
    """Run it."""
    return 0
