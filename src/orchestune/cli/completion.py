"""`orchestune completion`: what a shell reads to complete commands, options, files, experiments and clusters."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.client.clusters import Clusters
from orchestune.client.local.home import state_folder
from orchestune.domain.search.engines import NAMES as ENGINES
from orchestune.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
_EXPERIMENTS = ("EXP", "EXP[/N]", "EXP/N", "EXP/M")
_FILES = ("FILE", "SCRIPT", "EXP|FILE")
_FOLDERS = ("DIR",)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "completion",
        show,
        details="Without a name it is for the shell that $SHELL names.",
        example='eval "$(orchestune completion bash)"      # in ~/.bashrc\n'
        'eval "$(orchestune completion zsh)"       # in ~/.zshrc, after compinit\n'
        "orchestune completion fish > ~/.config/fish/completions/orchestune.fish",
        json=False,
    )
    parser.add_argument("shell", nargs="?", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")
    parser.add_argument("--names", choices=tuple(_NAMES), help=argparse.SUPPRESS)  # what the shell asks for at a Tab


def show(console: Console, args: argparse.Namespace) -> int:
    """Print the script, or the names that it asks for."""
    if args.names:
        console.say(*filter(_plain, _NAMES[args.names](console)))
        return 0
    from orchestune.cli.main import build_parser  # it imports every command, this one too

    shell = args.shell or os.path.basename(console.environ.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(
            f"there is no completion for {shell or 'an unknown shell'}", f"name one of {', '.join(SHELLS)}"
        )
    console.say(script(build_parser(), shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """What the shell has to read."""
    import shtab  # only wanted here

    for action in _actions(parser):
        kind = _kind(action)
        if "--engine" in action.option_strings:
            action.choices = ENGINES  # for a Tab alone: who names another one is told more by the reader of the file
        if kind in ("file", "directory"):
            action.complete = shtab.CHOICE_FUNCTIONS[kind]  # type: ignore[attr-defined]  # where shtab looks
        elif kind:
            action.complete = _asked(kind)  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def _asked(kind: str) -> dict[str, Any]:
    """How names are asked for at a Tab.

    With `shtab.cmd` alone zsh asks when it reads the script, once for each option, and knows these names until it ends.
    """
    import shtab

    command, function = f"orchestune completion --names {kind}", f"_orchestune_{kind}"
    found: dict[str, Any] = shtab.cmd(command)
    found["zsh"] = function
    found["preamble"]["zsh"] = f'{function}() {{\n  compadd "$@" -- $({command})\n}}'
    return found


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every option and argument, of commands within commands too."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _kind(action: argparse.Action) -> str:
    """What stands there, as far as it can be completed."""
    named = str(action.metavar)
    if named in _EXPERIMENTS:
        return "experiments"
    if named == "NAME" and (not action.option_strings or {"--cluster", "-n"} & {*action.option_strings}):
        return "clusters"
    if named in _FILES:
        return "file"
    return "directory" if named in _FOLDERS else ""


def _plain(name: str) -> bool:
    """Return True if shells take `name` as it is. bash expands completions: of another name it would run `$(…)`."""
    return shlex.quote(name) == name


def _experiments(console: Console) -> list[str]:
    """Those that were started here, the newest first; no server is asked at a Tab."""
    return [started.handle for started in console.whereabouts.all()]


def _clusters(console: Console) -> list[str]:
    return [cluster.name for cluster in Clusters(state_folder(console.environ)).all()]


_NAMES: dict[str, Callable[[Console], list[str]]] = {"experiments": _experiments, "clusters": _clusters}
