"""Building blocks of the commands' parsers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from orchestune import arguments
from orchestune.cli.commands import COMMANDS
from orchestune.cli.terminal.console import Console
from orchestune.domain.words import did_you_mean
from orchestune.errors import UsageError

Handler = Callable[[Console, argparse.Namespace], int]
Commands = Any  # return type of add_subparsers(), private to argparse


class CommandParser(arguments.Parser):
    """Parser whose error for an invalid choice or command lists the allowed ones and suggests the closest."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        allowed = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            raise unknown_command(str(value), allowed, self.prog.partition(" ")[2])
        name = "/".join(action.option_strings) or action.metavar or action.dest
        hint = did_you_mean(str(value), allowed) or f"see `{self.prog} --help`"
        raise UsageError(f"{name}: '{value}' (expected {', '.join(allowed)})", hint)


def add_command(
    commands: Commands, name: str, run: Handler, *, example: str, help: str = "", details: str = "", json: bool = True
) -> argparse.ArgumentParser:
    """Add a command with its help, an example and, unless `json` is false, `--json`.

    A command of the first level takes its `help` from `COMMANDS`.
    """
    help = help or COMMANDS[name].help
    description = f"{help[0].upper()}{help[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=f"{description} {details}".strip(),
        epilog="example:\n" + "".join(f"  {line}\n" for line in example.splitlines()),
        formatter_class=Formatter,
    )
    parser.set_defaults(run=run)
    if json:
        parser.add_argument("--json", action="store_true", help="print the result as a JSON document")
    return parser


def add_cluster(
    parser: argparse.ArgumentParser, text: str = "cluster of the experiment (default: where it was started)"
) -> None:
    """Add the option `--cluster` of every command that talks to a server."""
    text = f"{text}; see `orchestune cluster list`"
    parser.add_argument("--cluster", type=cluster_name, metavar="NAME", help=text)


def cluster_name(text: str) -> str:
    """Validate the name of a cluster; an empty one, from an unset variable of a script, must not select the default."""
    if not text.strip():
        raise argparse.ArgumentTypeError("empty cluster name ''")
    return text


def add_experiment(parser: argparse.ArgumentParser, *, trial: str = "") -> None:
    """Add the argument EXP (a handle, a prefix, or by default the newest experiment of this folder) and `--cluster`."""
    add_cluster(parser)
    if trial == "must":
        parser.add_argument(
            "exp", metavar="EXP/N", help="a trial, such as sgd-7f3a/12, or /12 of the newest experiment of this folder"
        )
        return
    text = "handle or prefix of an experiment (default: the newest of this folder)"
    name = "EXP[/N]" if trial else "EXP"
    parser.add_argument("exp", metavar=name, nargs="?", help=text + (", or a trial of it" if trial else ""))


def unknown_command(
    name: str, names: list[str], group: str = "", synonyms: Mapping[str, str] = MappingProxyType({})
) -> UsageError:
    """Return the error for an unknown command, or subcommand of `group`; it suggests similar ones and synonyms."""
    full_name = f"{group} {name}".strip()
    mixed_up = [word for word in names if sorted(word) == sorted(name)]  # `rnu` is too short for a similarity match
    suggestions = [synonyms[name]] if name in synonyms else mixed_up or get_close_matches(name, names, 1, 0.7)
    start = f"orchestune {group}".strip()
    hint = f"did you mean `{start} {suggestions[0]}`?" if suggestions else f"`{start} --help` lists the commands"
    return UsageError(f"unknown command '{full_name}'", hint)


class Formatter(argparse.HelpFormatter):
    """Help formatter that wraps descriptions but not the example."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28, **options)

    def add_argument(self, action: argparse.Action) -> None:
        """Reserve room for the indented names of subcommands, which argparse does not count."""
        super().add_argument(action)
        if action.help is not argparse.SUPPRESS:
            lengths = [len(one.dest) + self._current_indent for one in self._iter_indented_subactions(action)]
            self._action_max_length = max(self._action_max_length, *lengths, 0)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Format `-o, --output FILE` as Python 3.13 does; older versions repeat the metavar."""
        if len(action.option_strings) < 2 or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:") else super()._fill_text(text, width, indent)


def positive(text: str) -> int:
    """Parse a positive integer, as a type of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' (expected a positive integer)")
    return int(text)
