"""`orchestune completion`: shell completion of commands, options, files, experiments and clusters."""

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
        details="Without a name the script is for the shell in $SHELL.",
        example='eval "$(orchestune completion bash)"      # in ~/.bashrc\n'
        'eval "$(orchestune completion zsh)"       # in ~/.zshrc, after compinit\n'
        "orchestune completion fish > ~/.config/fish/completions/orchestune.fish",
        json=False,
    )
    parser.add_argument("shell", nargs="?", choices=SHELLS, help=f"{', '.join(SHELLS)} (default: the one in $SHELL)")
    parser.add_argument("--names", choices=tuple(_NAMES), help=argparse.SUPPRESS)  # called by the script at a Tab


def show(console: Console, args: argparse.Namespace) -> int:
    """Print the completion script, or with `--names` the names that the script requests."""
    if args.names:
        console.say(*filter(_needs_no_quotes, _NAMES[args.names](console)))
        return 0
    from orchestune.cli.main import build_parser  # imports every command, including this one

    shell = args.shell or os.path.basename(console.environ.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(
            f"no completion for shell '{shell or 'unknown'}' (expected {', '.join(SHELLS)})",
            "name the shell: orchestune completion bash",
        )
    console.say(script(build_parser(), shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script for `shell`."""
    import shtab  # slow to import, only needed here

    for action in _actions(parser):
        kind = _kind(action)
        if "--engine" in action.option_strings:
            action.choices = ENGINES  # for completion only: the parser of the file explains an unknown name better
        if kind in ("file", "directory"):
            action.complete = shtab.CHOICE_FUNCTIONS[kind]  # type: ignore[attr-defined]  # read by shtab
        elif kind:
            action.complete = _dynamic_names(kind)  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def _dynamic_names(kind: str) -> dict[str, Any]:
    """Return how each shell completes with names of this kind.

    zsh gets a function: with `shtab.cmd` alone it would request the names once per option when it loads the script, and
    never again.
    """
    import shtab

    command, function = f"orchestune completion --names {kind}", f"_orchestune_{kind}"
    completions: dict[str, Any] = shtab.cmd(command)
    completions["zsh"] = function
    completions["preamble"]["zsh"] = f'{function}() {{\n  compadd "$@" -- $({command})\n}}'
    return completions


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield every option and argument, also those of nested commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _kind(action: argparse.Action) -> str:
    """Return the kind of names that complete an action; empty if it cannot be completed."""
    metavar = str(action.metavar)
    if metavar in _EXPERIMENTS:
        return "experiments"
    if metavar == "NAME" and (not action.option_strings or {"--cluster", "-n"} & {*action.option_strings}):
        return "clusters"
    if metavar in _FILES:
        return "file"
    return "directory" if metavar in _FOLDERS else ""


def _needs_no_quotes(name: str) -> bool:
    """Return True if shells take `name` literally. bash expands completions, so another name could run `$(…)`."""
    return shlex.quote(name) == name


def _experiments(console: Console) -> list[str]:
    """Return the handles of experiments started on this machine, the newest first. No server is queried at a Tab."""
    return [started.handle for started in console.experiment_index.all()]


def _clusters(console: Console) -> list[str]:
    return [cluster.name for cluster in Clusters(state_folder(console.environ)).all()]


_NAMES: dict[str, Callable[[Console], list[str]]] = {"experiments": _experiments, "clusters": _clusters}
