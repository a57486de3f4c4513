"""`cluster disconnect` and `cluster destroy`: forget a cluster here, or take away all that we put into it."""

from __future__ import annotations

import argparse

from orchestune.cli.cluster_commands import known
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command


def add(inner: Commands) -> None:
    """Add the commands."""
    parser = add_command(
        inner,
        "disconnect",
        disconnect,
        help="forget a cluster here; nothing in it changes",
        example="orchestune cluster disconnect -n lab",
        json=False,
    )
    parser.add_argument("-n", "--name", metavar="NAME", required=True, help="name of the cluster")


def disconnect(console: Console, args: argparse.Namespace) -> int:
    """Forget it."""
    known(console).remove(args.name)
    console.note(f"{args.name} is forgotten here; nothing changed there")
    return 0
