"""`orchestune server`: the control plane in the foreground."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command to the list; its options are the server's own, in docs/reference/server-settings.md."""
    parser = add_command(
        commands,
        "server",
        lambda console, args: delegate(console, args.options),
        details="On a laptop there is no need for it: the other commands start one when they need it. --stop ends it.",
        example="orchestune server --host 0.0.0.0 --database-url postgresql://orchestune@db/orchestune\n"
        "orchestune server --stop",
        json=False,
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="settings of the server")


def delegate(console: Console, argv: Sequence[str]) -> int:
    """Hand over to the server's own program, or end the server of this user."""
    if any(word in ("-h", "--help", "--stop") for word in argv):
        from orchestune.server.settings import load  # quicker than the whole server

        settings = load([word for word in argv if word != "--stop"])
        return _stop(console, settings.state)
    from orchestune.bootstrap import build  # these load FastAPI and the store, which no other command needs
    from orchestune.server.main import main

    return main(argv, build)


def _stop(console: Console, state: Path) -> int:
    from orchestune.client.local.embedded import end  # which a server in the foreground does without

    pid = end(state)
    if pid is None:
        console.say("no server of this user runs")
    else:
        console.say(f"the server (pid {pid}) has ended; what runs goes on, and the next command starts it again")
    return 0
