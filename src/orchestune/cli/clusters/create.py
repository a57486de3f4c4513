"""`cluster create` and `cluster update`: a cluster at a cloud provider, from a file, connected in the end."""

from __future__ import annotations

import argparse
from pathlib import Path

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command


def add(inner: Commands) -> None:
    """Add the commands."""
    parser = add_command(
        inner,
        "create",
        create,
        help="make a cluster at a cloud provider, and connect it",
        details="Interrupted anywhere, the same command completes it.",
        example="orchestune cluster create -f cluster.yml --dry-run\norchestune cluster create -f cluster.yml",
    )
    _add_options(parser, "print what would be made, make nothing")
    parser.add_argument("--server-image", metavar="REF", help="image of the server (default: made and pushed)")
    parser = add_command(
        inner,
        "update",
        update,
        help="bring a cluster that was made to what its file says now",
        details="What lacks is made; sizes, labels and taints change; new pools come; those that the file has no more"
        " are drained and removed.",
        example="orchestune cluster update -f cluster.yml --dry-run\norchestune cluster update -f cluster.yml",
    )
    _add_options(parser, "print what would change, change nothing")


def _add_options(parser: argparse.ArgumentParser, dry: str) -> None:
    parser.add_argument(
        "-f", "--file", type=Path, default=Path("cluster.yml"), metavar="FILE", help="default: cluster.yml"
    )
    parser.add_argument("--dry-run", action="store_true", help=dry)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def create(console: Console, args: argparse.Namespace) -> int:
    """Check, plan, ask, make, connect."""
    from orchestune.cli.clusters import apply  # files and providers take more modules than other commands

    return apply.create(console, args)


def update(console: Console, args: argparse.Namespace) -> int:
    """Check, show what differs, ask, change."""
    from orchestune.cli.clusters import apply  # see above

    return apply.update(console, args)
