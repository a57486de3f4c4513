"""`cluster create` and `cluster update`: create and update a cluster at a cloud provider from a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command


def add(inner: Commands) -> None:
    """Register the commands."""
    parser = add_command(
        inner,
        "create",
        create,
        help="create a cluster at a cloud provider and connect it",
        details="If interrupted, repeat the command to complete it.",
        example="orchestune cluster create -f cluster.yml --dry-run\norchestune cluster create -f cluster.yml",
    )
    _add_options(parser, "print the plan without creating anything")
    parser.add_argument("--server-image", metavar="REF", help="image of the server (default: built and pushed)")
    parser = add_command(
        inner,
        "update",
        update,
        help="apply changes of its file to a cluster",
        details="Creates what is missing and new pools, changes sizes, labels and taints, and drains and removes pools"
        " that are no longer in the file.",
        example="orchestune cluster update -f cluster.yml --dry-run\norchestune cluster update -f cluster.yml",
    )
    _add_options(parser, "print the changes without applying them")


def _add_options(parser: argparse.ArgumentParser, dry: str) -> None:
    parser.add_argument(
        "-f",
        "--file",
        type=Path,
        default=Path("cluster.yml"),
        metavar="FILE",
        help="cluster file (default: cluster.yml)",
    )
    parser.add_argument("--dry-run", action="store_true", help=dry)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask for confirmation")


def create(console: Console, args: argparse.Namespace) -> int:
    """Create a cluster and connect it."""
    from orchestune.cli.clusters import apply  # imports files and providers, slow

    return apply.create(console, args)


def update(console: Console, args: argparse.Namespace) -> int:
    """Apply changes of the file to a cluster."""
    from orchestune.cli.clusters import apply  # as above

    return apply.update(console, args)
