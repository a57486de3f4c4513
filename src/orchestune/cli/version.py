"""`orchestune version`."""

from __future__ import annotations

import argparse
import platform

from orchestune import __version__
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    add_command(commands, "version", show, example="orchestune version")


def show(console: Console, args: argparse.Namespace) -> int:
    """Print the version of the program and of Python."""
    python = platform.python_version()
    document = {"schema": 1, "version": __version__, "python": python}
    return console.result(document, f"orchestune {__version__} (Python {python})")
