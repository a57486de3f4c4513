"""`orchestune server`: the control plane in the foreground."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from orchestune.cli.parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command to the list; its options are the server's own, in docs/reference/server-settings.md."""
    parser = add_command(
        commands,
        "server",
        lambda console, args: delegate(args.options),
        details="On a laptop there is no need for it: the other commands start one when they need it.",
        example="orchestune server --host 0.0.0.0 --database-url postgresql://orchestune@db/orchestune",
        json=False,
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="settings of the server")


def delegate(argv: Sequence[str]) -> int:
    """Hand over to the server's own program."""
    if any(word in ("-h", "--help") for word in argv):
        from orchestune.server.settings import load  # quicker than the whole server

        load(argv)
    from orchestune.bootstrap import build  # these load FastAPI and the store, which no other command needs
    from orchestune.server.main import main

    return main(argv, build)
