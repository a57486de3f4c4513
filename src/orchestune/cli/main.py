"""`orchestune`: finds the command and turns errors into messages and exit codes."""

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
from orchestune.cli.commands import COMMANDS, ELSEWHERE
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import CommandParser, Commands, Formatter, unknown_command
from orchestune.errors import OrchestuneError, UsageError

_OF_A_PATH = (errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EROFS)
"""what is wrong with a path itself, whoever named it"""


def build_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the commands `names`; of the whole command line where none are named."""
    parser, commands = _frame()
    for module in dict.fromkeys(COMMANDS[name].module for name in names):
        import_module(f"orchestune.cli.{module}").add(commands)
    return parser


def _brief() -> argparse.ArgumentParser:
    """A parser that knows what commands there are and nothing of them: the list loads no command's module."""
    parser, commands = _frame()
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help)
    return parser


def _frame() -> tuple[argparse.ArgumentParser, Commands]:
    parser = CommandParser(
        prog="orchestune",
        description="Hyperparameter optimization in parallel, with one file.",
        epilog="example:\n  orchestune run                  start the experiment of experiment.yml and follow it\n"
        "  orchestune status               every experiment\n"
        "  orchestune best                 the best configuration so far\n\n"
        "EXP is the handle of an experiment (sgd-7f3a), a prefix of it, or nothing for the newest of this folder;\n"
        "a trial is EXP/N. Exit codes: 0 done, 1 the work failed, 2 wrong use, 3 the server cannot be reached.\n",
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=CommandParser)
    return parser, commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_closed()
    _show_strange()
    return run(Console(json="--json" in _own(words) or "--jsonl" in _own(words)), words)


def run(console: Console, words: list[str]) -> int:
    """Run the command of `words` with the streams, the environment and the folder of `console`; its exit code."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see `watch`
        code = _dispatch(console, words)
        console.out.flush()
        console.compare_versions()
        return code
    except OrchestuneError as exc:
        code = console.fail(exc)
        console.compare_versions()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads our output has seen enough
        _drop_output()
        return 0
    except OSError as exc:
        if _homeless():
            return console.fail(UsageError("the folder of this shell was deleted", "`cd` to one that is there"))
        if exc.errno in _OF_A_PATH and exc.filename is not None:
            return console.fail(
                UsageError(f"{os.fsdecode(exc.filename)}: {exc.strerror}", "look at its rights, or name another path")
            )
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _drop_output()
        return console.fail(UsageError(f"the output cannot be written: {exc.strerror}", "make room where it goes"))
    finally:
        console.close()


def _open_closed() -> None:
    """Streams that were closed (`>&-`) lead nowhere; else what is opened next would take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we run


def _show_strange() -> None:
    """A character that the output's encoding lacks is told by its number; on a terminal a `?` keeps its place."""
    out = sys.stdout  # the other one is lenient from the beginning
    if isinstance(out, TextIOWrapper) and out.errors in ("strict", "surrogateescape"):
        out.reconfigure(errors="replace" if out.isatty() else "backslashreplace")


def _homeless() -> bool:
    """Whether the folder that we were started in is no more."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _drop_output() -> None:
    """What is left of the output goes nowhere: Python would complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(console: Console, words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    name = words[0] if words and not words[0].startswith("-") else ""
    if name and name not in COMMANDS:
        raise unknown_command(name, list(COMMANDS), elsewhere=ELSEWHERE)
    if not name and words and words[0] not in ("-h", "--help", "--version"):
        command = next((word for word in _own(words) if word in COMMANDS), "")
        if command:
            hint = f"options follow it: `orchestune {command} {words[0]}`"
            raise UsageError(f"{words[0]} stands before the command", hint)
    if name == "server":
        return server.delegate(console, words[1:])
    parser, args = _read(words, name)
    if args.version:
        return version.show(console, args)
    if args.command is None:
        parser.print_help()
        return 2
    console.json |= any(getattr(args, name, False) for name in ("json", "jsonl"))  # which argparse lets be shortened
    console.cluster = getattr(args, "cluster", None)
    args.line = words[1:]
    code: int = args.run(console, args)
    return code


def read(words: list[str]) -> argparse.Namespace:
    """What a command line asks for; `server` is read elsewhere. UsageError."""
    return _read(words, words[0])[1]


def _read(words: list[str], name: str) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = build_parser([name]) if name else _brief() if len(words) < 2 else build_parser()
    own = _own(words)
    args, strange = parser.parse_known_args(own)
    if hasattr(args, "spaces"):  # argparse takes one run of them alone, and they may stand between options
        args.spaces += [word for word in strange if not word.startswith("-")]
        strange = [word for word in strange if word.startswith("-")]
    if hasattr(args, "words"):
        args.words = words[len(own) + 1 :]
    elif len(own) < len(words):
        strange += words[len(own) :]
    if strange:
        raise unrecognized(_meant(parser, own), strange)
    return parser, args


def _own(words: list[str]) -> list[str]:
    """What is said to this program: the user's command begins after `--`."""
    return words[: words.index("--")] if "--" in words else words


def _meant(parser: argparse.ArgumentParser, words: list[str]) -> argparse.ArgumentParser:
    """The parser of the command that the words name, or of the command's own command."""
    for word in words:
        parser = parser_commands(parser).get(word, parser)
    return parser


def parser_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands by name, in the order of the help; none for a command without commands of its own."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
