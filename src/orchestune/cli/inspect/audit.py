"""`audit`: show sign-ins, and everything that was granted, deleted, exported, imported or refused."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.render import table
from orchestune.cli.terminal.silence import retry_message
from orchestune.client.connection import clock
from orchestune.domain.resources.resources import parse_seconds
from orchestune.ports.clock import rfc3339

if TYPE_CHECKING:
    from orchestune import documents

MAX_EVENTS = 1000  # maximum events per response of the server
_HEADER = ("TIME", "EVENT", "WHO", "ROLE", "FROM", "ABOUT", "DETAILS")


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "audit",
        audit,
        details="The newest event comes last. Only owners may read the log; this machine's user owns its own server.",
        example="orchestune audit\norchestune audit --since 1d -n 1000 --json\norchestune audit --follow",
    )
    add_cluster(parser, "cluster whose log to show (default: the default cluster)")
    parser.add_argument(
        "-n", type=_count, default=50, metavar="N", dest="limit", help="maximum number of events (default: 50)"
    )
    parser.add_argument(
        "--since", metavar="TIME", help="only events since 30m, 2h, 7d ago, or since 2026-01-31T12:00:00Z"
    )
    parser.add_argument(
        "--follow", "-f", action="store_true", help="keep printing new events; with --json one per line"
    )


def audit(console: Console, args: argparse.Namespace) -> int:
    """Print the newest events, with `--follow` also new ones."""
    since = None if args.since is None else _since(console, args.since)
    page = console.client.audit(limit=args.limit, since=since)
    if not args.follow:
        return console.result({"schema": 1, **page}, *_lines(console, page["items"]))
    _print(console, page["items"])
    try:
        for event in console.client.follow_audit(page["next"], lambda error: console.note_wait(retry_message(error))):
            _print(console, [event])
    except KeyboardInterrupt:
        return 0
    return 0


def _print(console: Console, events: Sequence[documents.AuditEvent]) -> None:
    if console.json:
        console.lines(events)
    elif events:
        console.say(*_lines(console, events)[1:])


def _lines(console: Console, events: Sequence[documents.AuditEvent]) -> list[str]:
    rows = [
        (
            event["at"],
            event["kind"],
            event["actor"] or "-",
            event["role"] or "-",
            event["address"] or "-",
            event["subject"] or "-",
            ", ".join(f"{name}={text}" for name, text in event["details"].items()),
        )
        for event in events
    ]
    return table(_HEADER, rows, console.paint, columns=console.columns)


def _since(console: Console, text: str) -> str:
    """Convert a duration to a time of the server's clock; other text is a time, which the server parses."""
    try:
        seconds = parse_seconds(text)
    except ValueError:
        return text
    console.client.server()  # synchronizes the clock
    return rfc3339(max(0.0, clock.now() - seconds))


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_EVENTS:
        raise argparse.ArgumentTypeError(f"'{text}' (expected an integer from 1 to {MAX_EVENTS})")
    return int(text)
