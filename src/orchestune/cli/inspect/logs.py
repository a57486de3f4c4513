"""`logs`: what trials print, merged, each line with the worker, the trial and the fold it came from."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import harmless, one_line, size
from orchestune.client.api import Client
from orchestune.client.connection import clock
from orchestune.client.states import over
from orchestune.domain.resources.resources import parse_seconds
from orchestune.domain.specification.patterns import compiled
from orchestune.errors import NotFound, UsageError
from orchestune.worker.metrics.expressions import in_time

if TYPE_CHECKING:
    from orchestune import documents

_MOST = 1_000_000
"""lines that a server counts back"""
GREP_SECONDS = 5.0
"""CPU seconds in which the lines of one chunk (at most some 100 KiB) are searched; usual patterns take milliseconds"""
_IDLE = 1 << 16
"""characters of an unfinished line after which it is shown as it stands"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "logs",
        logs,
        details="Works the same while an experiment runs and after it.",
        example="orchestune logs sgd-7f3a --follow\norchestune logs sgd-7f3a/12 --tail 20 --grep loss",
    )
    add_experiment(parser, trial="may")
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on until the experiment, or the trial, has ended"
    )
    parser.add_argument("--grep", metavar="REGEX", help="only lines in which the regular expression is found")
    parser.add_argument("--since", metavar="TIME", help="only what came since: 30s, 10m, 2h, or 2026-01-31T12:00:00Z")
    parser.add_argument(
        "--tail",
        type=_some_lines,
        metavar="N",
        help="begin with the last N lines, of those that --grep finds; with 0 and --follow only what comes",
    )


def _some_lines(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number, 0 or above")
    number = int(text)
    if number > _MOST:
        raise argparse.ArgumentTypeError(f"{text} is more than {_MOST:,} lines; without --tail all of them are shown")
    return number


def logs(console: Console, args: argparse.Namespace) -> int:
    """Print the lines as they are there."""
    wanted = _wanted(args.grep)
    since = _since(args.since)
    ref, trial = console.reference(args.exp)
    if isinstance(since, float):
        console.client.experiment(ref)  # its answer says what time it is there
        since = _stamp(datetime.fromtimestamp(clock.now(), UTC) - timedelta(seconds=since))
    if args.follow and trial is not None:
        _awaited(console, ref, trial)
    shown, terminal = 0, console.out.isatty()
    if args.tail is not None:
        all_there, follow = args.grep is not None and args.tail > 0, args.follow
        batches = _tailed(
            console.client, ref, args.tail, wanted, all_there=all_there, follow=follow, trial=trial, since=since
        )
    elif args.follow:
        batches = _lines(console.client.follow_logs(ref, trial=trial, since=since), wanted)
    else:
        batches = _lines(console.client.logs(ref, trial=trial, since=since), wanted)
    try:
        for batch in batches:
            shown += len(batch)
            for line in batch if terminal else ():
                line.text = harmless(line.text)
            console.out.write("".join(_shown_as(console, line, alone=trial is not None) for line in batch))
            if args.follow:
                console.out.flush()
    except KeyboardInterrupt:
        return 0 if args.follow else 130
    finally:
        console.out.flush()
    if trial is not None and not shown:
        console.client.trial(ref, trial)  # NotFound where there is none: silence would look like a quiet trial
    if not shown and (dropped := console.client.experiment(ref).get("files_dropped_at")):
        console.note(gone(dropped))
    return 0


def _awaited(console: Console, ref: str, number: int) -> None:
    """Say of a trial that is still to begin that it is waited for: a number may be mistyped."""
    try:
        if console.client.trial(ref, number)["state"] == "queued":
            console.note(f"trial {number} is queued; its lines come once it runs")
    except NotFound as exc:
        if over(console.client.experiment(ref)):
            raise
        console.note(f"{exc.message} yet; its lines come once it runs")


def gone(dropped: str) -> str:
    """What is said of logs and files that went at a time (RFC 3339)."""
    return (
        f"its logs and files were dropped at {dropped}: the server keeps them for some time after the end (`retention`)"
    )


class Line:
    """One line of an attempt's output."""

    def __init__(self, chunk: documents.LogChunk, text: str) -> None:
        self.trial, self.attempt, self.worker, self.at = chunk["trial"], chunk["attempt"], chunk["worker"], chunk["at"]
        self.fold = chunk.get("fold")  # a server of before does not tell
        self.text = text


_Wanted = Callable[[list[Line]], list[Line]]
"""keeps the lines in which the pattern is found"""


class _Splitter:
    """The lines that each chunk completes, in the order in which chunks come."""

    def __init__(self) -> None:
        self._rest: dict[str, tuple[documents.LogChunk, str]] = {}

    def lines(self, chunk: documents.LogChunk) -> list[Line]:
        """What is whole with this chunk; what a process left unfinished comes where it ended."""
        lines = []
        before = self._rest.pop(chunk["attempt"], (chunk, ""))[1]
        if chunk["gap"]:
            lines += [before] if before else []
            lines.append(f"[{size(chunk['gap'])} of output left out]")
            before = ""
        *whole, last = (before + chunk["text"]).split("\n")
        lines += whole
        if last and (len(last) > _IDLE or chunk["last"]):
            lines.append(last)
        elif last:
            self._rest[chunk["attempt"]] = (chunk, last)
        return [Line(chunk, _shown(text)) for text in lines]

    def rest(self) -> list[Line]:
        """What is unfinished at the end."""
        return [Line(chunk, _shown(last)) for chunk, last in self._rest.values()]


def _lines(chunks: Iterator[documents.LogChunk], wanted: _Wanted) -> Iterator[list[Line]]:
    """The lines of each chunk that are wanted."""
    splitter = _Splitter()
    for chunk in chunks:
        yield wanted(splitter.lines(chunk))
    yield wanted(splitter.rest())


def _tailed(
    client: Client, ref: str, tail: int, wanted: _Wanted, *, all_there: bool, follow: bool, **chosen: Any
) -> Iterator[list[Line]]:
    """The last wanted lines of what is there, and with `follow` all that come after them.

    `all_there`: they are looked for in all of it. The server counts lines whatever they say.
    """
    splitter, found, after = _Splitter(), deque[Line](maxlen=tail), 0
    for chunk in client.logs(ref, **({} if all_there else {"tail": tail}), **chosen):
        found.extend(wanted(splitter.lines(chunk)))
        after = chunk["cursor"]
    if not follow:
        found.extend(wanted(splitter.rest()))
        yield list(found)
        return
    yield list(found)
    for chunk in client.follow_logs(ref, after=after, **chosen):
        yield wanted(splitter.lines(chunk))
    yield wanted(splitter.rest())


def _shown(text: str) -> str:
    """Of a line that was written over again and again (a progress bar), what it last showed."""
    return text.rstrip("\r").rpartition("\r")[2]


def _shown_as(console: Console, line: Line, *, alone: bool) -> str:
    if console.json:
        document: dict[str, Any] = {"trial": line.trial, "attempt": line.attempt, "worker": line.worker, "at": line.at}
        return console.in_json({**document, "fold": line.fold, "line": line.text}) + "\n"
    paint, name, fold = console.paint, one_line(line.worker or "-"), "" if line.fold is None else f"fold {line.fold} "
    bar = paint.dim(paint.sign("│"))
    if alone:
        return f"{fold}{bar} {line.text}\n" if fold else f"{line.text}\n"
    padding = " " * (3 - len(name))
    return f"{paint.worker(name)}{padding} {line.trial:>4} {fold}{bar} {line.text}\n"


def _wanted(grep: str | None) -> _Wanted:
    if grep is None:
        return lambda lines: lines
    try:
        pattern = compiled(grep)
    except ValueError as exc:
        hint = "put \\ before what is meant as it stands, as in \\["
        raise UsageError(f"--grep {grep!r} is no regular expression: {exc}", hint) from exc

    def matching(lines: list[Line]) -> list[Line]:
        matches: list[Line] = []
        if not in_time(lambda: matches.extend(line for line in lines if pattern.search(line.text)), GREP_SECONDS):
            hint = "avoid repetitions inside repetitions, as in (a+)+"
            raise UsageError(f"--grep {grep!r} takes longer than {GREP_SECONDS:g} s to search a few lines", hint)
        return matches

    return matching


def _since(text: str | None) -> str | float | None:
    """An RFC 3339 time in UTC, or how many seconds ago it was."""
    if text is None:
        return None
    wrong = UsageError(f"--since {text!r} is no time", "write 30s, 10m, 2h or 2026-01-31T12:00:00Z")
    try:
        seconds = parse_seconds(text)
        datetime.now(UTC) - timedelta(seconds=seconds)
        return seconds
    except ValueError:
        pass
    except OverflowError:  # before the first year that there is
        raise wrong from None
    try:
        return _stamp(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        raise wrong from None


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
