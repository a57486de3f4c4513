"""`cluster release`: take a node out of quarantine."""

from __future__ import annotations

import argparse
from contextlib import closing

from orchestune.cli.clusters.shared import add_name
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.client.address import place
from orchestune.client.api import Client


def add(inner: Commands) -> None:
    """Register the command."""
    parser = add_command(
        inner,
        "release",
        release,
        help="take a node out of quarantine",
        details="A node where trials fail that succeed elsewhere is quarantined for an hour; see `cluster status`.",
        example="orchestune cluster release gpu-7 -n lab",
    )
    parser.add_argument("node", metavar="NODE", help="name of the node in `cluster status`")
    add_name(parser, required=False)


def release(console: Console, args: argparse.Namespace) -> int:
    """Request the release from the cluster's server."""
    server = place(console.environ, args.name)
    with closing(Client.connect(server.resolve)) as client:
        client.release(args.node, server.name if server.embedded else None)
    return console.result({"node": args.node}, f"{args.node} released from quarantine")
