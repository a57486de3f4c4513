"""`orchestune server`: run the control plane in the foreground."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command


def add(commands: Commands) -> None:
    """Register the command; its options are the server's own, see docs/reference/server-settings.md."""
    parser = add_command(
        commands,
        "server",
        lambda console, args: delegate(console, args.options),
        details="Not needed on a laptop: other commands start a server on demand. --stop shuts it down.",
        example="orchestune server --host 0.0.0.0 --database-url postgresql://orchestune@db/orchestune\n"
        "orchestune server --stop",
        json=False,
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="server settings")


def delegate(console: Console, argv: Sequence[str]) -> int:
    """Run the server's own program, or with `--stop` shut down this user's server."""
    if any(word in ("-h", "--help", "--stop") for word in argv):
        from orchestune.server.settings import load  # faster than importing the server

        settings = load([word for word in argv if word != "--stop"])
        return _stop(console, settings.state)
    from orchestune.bootstrap import build  # imports FastAPI and the store, which no other command needs
    from orchestune.server.main import main

    return main(argv, build)


def _stop(console: Console, state: Path) -> int:
    from orchestune.client.local.embedded import end  # not needed by a server in the foreground

    pid = end(state)
    if pid is None:
        console.say("no server of this user is running")
    else:
        console.say(f"the server (pid {pid}) was shut down; running trials continue, and the next command restarts it")
    return 0
