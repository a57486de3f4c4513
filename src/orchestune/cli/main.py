"""Entry point of `orchestune`: select the command, and turn errors into messages and exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from io import TextIOWrapper

from orchestune.arguments import unrecognized
from orchestune.cli import server, version
from orchestune.cli.commands import COMMANDS, SYNONYMS
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import CommandParser, Commands, Formatter, unknown_command
from orchestune.errors import OrchestuneError, UsageError

_PATH_ERRORS = (errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EROFS)
"""errors caused by a path that the user named"""


def build_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Build the parser of the commands `names`; by default of the whole command line."""
    parser, commands = _root_parser()
    for module in dict.fromkeys(COMMANDS[name].module for name in names):
        import_module(f"orchestune.cli.{module}").add(commands)
    return parser


def _list_parser() -> argparse.ArgumentParser:
    """Build a parser with the names and help of the commands only, so that the list imports no command's module."""
    parser, commands = _root_parser()
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help)
    return parser


def _root_parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = CommandParser(
        prog="orchestune",
        description="Hyperparameter optimization in parallel, with one file.",
        epilog="example:\n  orchestune run                  start the experiment in experiment.yml and follow it\n"
        "  orchestune status               list experiments\n"
        "  orchestune best                 show the best configuration so far\n\n"
        "EXP is the handle of an experiment (sgd-7f3a) or a prefix of it; by default the newest of this folder;\n"
        "a trial is EXP/N. Exit codes: 0 success, 1 failure, 2 usage error, 3 server unreachable.\n",
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=CommandParser)
    return parser, commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    _reopen_closed_streams()
    _escape_unencodable()
    return run(Console(json="--json" in _own_words(argv) or "--jsonl" in _own_words(argv)), argv)


def run(console: Console, argv: list[str]) -> int:
    """Run the command of `argv` with the streams, environment and folder of `console`; return its exit code."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # `watch` starts this program with it blocked
        code = _dispatch(console, argv)
        console.out.flush()
        console.compare_versions()  # also after a success, whose result another version may explain
        return code
    except OrchestuneError as exc:
        code = console.fail(exc)
        console.compare_versions()  # another version may be the cause
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has exited
        _drop_output()
        return 0
    except OSError as exc:
        if _is_working_directory_deleted():
            return console.fail(UsageError("the working directory was deleted", "`cd` to an existing one"))
        if exc.errno in _PATH_ERRORS and exc.filename is not None:
            return console.fail(
                UsageError(f"{os.fsdecode(exc.filename)}: {exc.strerror}", "check permissions, or use another path")
            )
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _drop_output()
        return console.fail(UsageError(f"cannot write the output: {exc.strerror}", "free some disk space there"))
    finally:
        console.close()


def _reopen_closed_streams() -> None:
    """Open closed streams (`>&-`) on the null device, so that no file opened later gets descriptor 0, 1 or 2."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the process exits


def _escape_unencodable() -> None:
    """Print characters that the output's encoding lacks as escapes; on a terminal as `?`, which keeps the columns."""
    out = sys.stdout  # stderr escapes by default
    if isinstance(out, TextIOWrapper) and out.errors in ("strict", "surrogateescape"):
        out.reconfigure(errors="replace" if out.isatty() else "backslashreplace")


def _is_working_directory_deleted() -> bool:
    """Return True if the working directory was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _drop_output() -> None:
    """Redirect remaining output to the null device; otherwise Python reports an error when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(console: Console, argv: list[str]) -> int:
    """Select the command, parse its arguments and run it; return its exit code. Raises UsageError."""
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    name = argv[0] if argv and not argv[0].startswith("-") else ""
    if name and name not in COMMANDS:
        raise unknown_command(name, list(COMMANDS), synonyms=SYNONYMS)
    if not name and argv and argv[0] not in ("-h", "--help", "--version"):
        command = next((word for word in _own_words(argv) if word in COMMANDS), "")
        if command:
            hint = f"write options after the command: `orchestune {command} {argv[0]}`"
            raise UsageError(f"option '{argv[0]}' before the command", hint)
    if name == "server":
        return server.delegate(console, argv[1:])
    parser, args = _parse(argv, name)
    if args.version:
        return version.show(console, args)
    if args.command is None:
        parser.print_help()
        return 2
    console.json |= any(getattr(args, name, False) for name in ("json", "jsonl"))  # argparse accepts them abbreviated
    console.cluster = getattr(args, "cluster", None)
    args.line = argv[1:]
    code: int = args.run(console, args)
    return code


def parse_command_line(argv: list[str]) -> argparse.Namespace:
    """Parse a command line. `server` parses its own. Raises UsageError."""
    return _parse(argv, argv[0])[1]


def _parse(argv: list[str], name: str) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = build_parser([name]) if name else _list_parser() if len(argv) < 2 else build_parser()
    own = _own_words(argv)
    args, unknown = parser.parse_known_args(own)
    for name in ("spaces", "paths"):
        if hasattr(args, name):  # argparse takes only the first consecutive group; users put them between options too
            getattr(args, name).extend(word for word in unknown if not word.startswith("-"))
            unknown = [word for word in unknown if word.startswith("-")]
    if hasattr(args, "words"):
        args.words = argv[len(own) + 1 :]
    elif len(own) < len(argv):
        unknown += argv[len(own) :]
    if unknown:
        raise unrecognized(_innermost_parser(parser, own), unknown)
    return parser, args


def _own_words(argv: list[str]) -> list[str]:
    """Return the arguments before `--`, which are for this program; the user's command follows it."""
    return argv[: argv.index("--")] if "--" in argv else argv


def _innermost_parser(parser: argparse.ArgumentParser, words: list[str]) -> argparse.ArgumentParser:
    """Return the parser of the innermost command that the words name."""
    for word in words:
        parser = parser_commands(parser).get(word, parser)
    return parser


def parser_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the direct subcommands by name, in the order of the help; empty if there are none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
