"""`cluster release`: let a machine in quarantine get trials again."""

from __future__ import annotations

import argparse
from contextlib import closing

from orchestune.cli.clusters.shared import add_name
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.client.address import place
from orchestune.client.api import Client


def add(inner: Commands) -> None:
    """Add the command."""
    parser = add_command(
        inner,
        "release",
        release,
        help="let a machine in quarantine get trials again",
        details="One on which trials fail that succeed elsewhere gets none for an hour; `cluster status` says why.",
        example="orchestune cluster release gpu-7 -n lab",
    )
    parser.add_argument("node", metavar="NODE", help="the machine, as `cluster status` names it")
    add_name(parser, required=False)


def release(console: Console, args: argparse.Namespace) -> int:
    """Ask the cluster's server to."""
    where = place(console.environ, args.name)
    with closing(Client.connect(where.resolve)) as client:
        client.release(args.node, where.name if where.embedded else None)
    return console.result({"node": args.node}, f"{args.node} gets trials again")
