"""The pieces that every command's parser is made of."""

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

Run = Callable[[Console, argparse.Namespace], int]
Commands = Any  # what add_subparsers() gives; its type is private to argparse


class CommandParser(arguments.Parser):
    """Says of a wrong choice or command what is allowed, and what was perhaps meant."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        allowed = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            raise unknown_command(str(value), allowed, self.prog.partition(" ")[2])
        name = "/".join(action.option_strings) or action.metavar or action.dest
        hint = did_you_mean(str(value), allowed) or f"`{self.prog} --help` shows how it is used"
        raise UsageError(f"{name}: found '{value}', allowed are {', '.join(allowed)}", hint)


def add_command(
    commands: Commands, name: str, run: Run, *, example: str, help: str = "", details: str = "", json: bool = True
) -> argparse.ArgumentParser:
    """A command with its help, an example of its use, and `--json` where it lists or shows something.

    One of the first level has its `help` from `COMMANDS`.
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


def add_cluster(parser: argparse.ArgumentParser, text: str = "where to look (default: where it was started)") -> None:
    """The option `--cluster`, for every command that talks to a server."""
    text = f"{text}; `orchestune cluster list` lists them"
    parser.add_argument("--cluster", type=cluster_name, metavar="NAME", help=text)


def cluster_name(text: str) -> str:
    """The name of a cluster; an empty one is that of a script's variable which is not set, and means no default."""
    if not text.strip():
        raise argparse.ArgumentTypeError("'' names no cluster")
    return text


def add_experiment(parser: argparse.ArgumentParser, *, trial: str = "") -> None:
    """The argument EXP: a handle, a prefix, or nothing for the newest experiment of this folder; and `--cluster`."""
    add_cluster(parser)
    if trial == "must":
        parser.add_argument("exp", metavar="EXP/N", help="a trial, such as sgd-7f3a/12; /12 is of this folder's newest")
        return
    text = "handle or prefix of an experiment (default: the newest of this folder)"
    name = "EXP[/N]" if trial else "EXP"
    parser.add_argument("exp", metavar=name, nargs="?", help=text + (", or a trial of it" if trial else ""))


def unknown_command(
    name: str, known: list[str], group: str = "", elsewhere: Mapping[str, str] = MappingProxyType({})
) -> UsageError:
    """The error for a first word, or one behind that of a `group`, that is no command; it may be one of other tools."""
    whole = f"{group} {name}".strip()
    mixed_up = [word for word in known if sorted(word) == sorted(name)]  # `rnu` is too short to be like anything
    near = [elsewhere[name]] if name in elsewhere else mixed_up or get_close_matches(name, known, 1, 0.7)
    start = f"orchestune {group}".strip()
    hint = f"did you mean `{start} {near[0]}`?" if near else f"`{start} --help` lists the commands"
    return UsageError(f"there is no command '{whole}'", hint)


class Formatter(argparse.HelpFormatter):
    """Wraps descriptions, but leaves the example as it is written."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28, **options)

    def add_argument(self, action: argparse.Action) -> None:
        """Leaves room for the names of commands where they stand: argparse forgets by how much they are indented."""
        super().add_argument(action)
        if action.help is not argparse.SUPPRESS:
            lengths = [len(one.dest) + self._current_indent for one in self._iter_indented_subactions(action)]
            self._action_max_length = max(self._action_max_length, *lengths, 0)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """`-o, --output FILE`, as Python does it from 3.13 on; older ones repeat the name of the value."""
        if len(action.option_strings) < 2 or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:") else super()._fill_text(text, width, indent)


def positive(text: str) -> int:
    """A whole number above 0; for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")
    return int(text)
