"""`cluster`, as it stands in the list of commands; its own commands load much that no other one needs."""

from __future__ import annotations

from orchestune.cli.parser import Commands

HELP = "make, connect, look at, upgrade and remove clusters"


def add(commands: Commands) -> None:
    """Add the command, and its own commands."""
    from orchestune.cli.cluster_group import add_group  # see above

    add_group(commands, HELP)


def add_brief(commands: Commands) -> None:
    """Add the name alone, for the list of commands."""
    commands.add_parser("cluster", help=HELP)
