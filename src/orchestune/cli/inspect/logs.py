"""`logs`: print the merged output of trials, each line with its worker, trial and fold."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import one_line, sanitized, size
from orchestune.client.api import Client
from orchestune.client.connection import clock
from orchestune.client.states import over
from orchestune.domain.resources.resources import parse_seconds
from orchestune.domain.specification.patterns import compiled
from orchestune.errors import NotFound, UsageError
from orchestune.worker.metrics.expressions import in_time

if TYPE_CHECKING:
    from orchestune import documents

_MAX_TAIL = 1_000_000
"""maximum lines that a server counts back"""
GREP_SECONDS = 5.0
"""CPU seconds to search one chunk (at most about 100 KiB); usual patterns take milliseconds"""
_PREFIXES = ("node", "pod", "container", "job")
_MAX_PENDING_CHARACTERS = 1 << 16
"""an unfinished line is printed once it has this many characters"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "logs",
        logs,
        details="Works during and after an experiment.",
        example="orchestune logs sgd-7f3a --follow\norchestune logs sgd-7f3a/12 --tail 20 --grep loss",
    )
    add_experiment(parser, trial="may")
    parser.add_argument(
        "--follow", "-f", action="store_true", help="keep printing until the experiment or trial has ended"
    )
    parser.add_argument("--grep", metavar="REGEX", help="only lines that match the regular expression")
    parser.add_argument(
        "--prefix",
        type=_prefix,
        default=(),
        metavar="NAMES",
        help="begin lines with these names of the worker, too, such as node,pod (also: container, job)",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="only lines since 30s, 10m, 2h ago, or since 2026-01-31T12:00:00Z"
    )
    parser.add_argument(
        "--tail",
        type=_tail_count,
        metavar="N",
        help="start with the last N lines (that match --grep); 0 with --follow prints new lines only",
    )


def _prefix(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in _PREFIXES:
            raise argparse.ArgumentTypeError(f"'{name}' (expected {', '.join(_PREFIXES)})")
    return names


def _tail_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' (expected an integer, 0 or more)")
    number = int(text)
    if number > _MAX_TAIL:
        raise argparse.ArgumentTypeError(f"{text} (expected at most {_MAX_TAIL:,}; omit --tail to print all lines)")
    return number


def logs(console: Console, args: argparse.Namespace) -> int:
    """Print the lines as they arrive."""
    line_filter = _line_filter(args.grep)
    since = _since(args.since)
    ref, trial = console.reference(args.exp)
    if isinstance(since, float):
        console.client.experiment(ref)  # synchronizes the clock
        since = _stamp(datetime.fromtimestamp(clock.now(), UTC) - timedelta(seconds=since))
    if args.follow and trial is not None:
        _note_if_waiting(console, ref, trial)
    printed_count, is_terminal = 0, console.out.isatty()
    names = _WorkerNames(console.client, ref, args.prefix)
    if args.tail is not None:
        search_all, follow = args.grep is not None and args.tail > 0, args.follow
        batches = _tail(
            console.client, ref, args.tail, line_filter, search_all=search_all, follow=follow, trial=trial, since=since
        )
    elif args.follow:
        batches = _lines(console.client.follow_logs(ref, trial=trial, since=since), line_filter)
    else:
        batches = _lines(console.client.logs(ref, trial=trial, since=since), line_filter)
    try:
        for batch in batches:
            printed_count += len(batch)
            for line in batch if is_terminal else ():
                line.text = sanitized(line.text)
            single = trial is not None
            text = (_formatted(console, line, names.of(line.worker), is_single_trial=single) for line in batch)
            console.out.write("".join(text))
            if args.follow:
                console.out.flush()
    except KeyboardInterrupt:
        return 0 if args.follow else 130
    finally:
        console.out.flush()
    if trial is not None and not printed_count:
        console.client.trial(ref, trial)  # raises NotFound: an empty output would look like a silent trial
    if not printed_count and (dropped_at := console.client.experiment(ref).get("files_dropped_at")):
        console.note(dropped_message(dropped_at))
    return 0


def _note_if_waiting(console: Console, ref: str, number: int) -> None:
    """Note that a trial has not started yet, since its number may be mistyped."""
    try:
        if console.client.trial(ref, number)["state"] == "queued":
            console.note(f"trial {number} is queued; its output follows once it runs")
    except NotFound as exc:
        if over(console.client.experiment(ref)):
            raise
        console.note(f"{exc.message} yet; its output follows once it runs")


def dropped_message(dropped_at: str) -> str:
    """Return the message for logs and files that were dropped at a time (RFC 3339)."""
    return f"its logs and files were dropped at {dropped_at}, after the server's `retention`"


class Line:
    """One line of an attempt's output."""

    def __init__(self, chunk: documents.LogChunk, text: str) -> None:
        self.trial, self.attempt, self.worker, self.at = chunk["trial"], chunk["attempt"], chunk["worker"], chunk["at"]
        self.fold = chunk.get("fold")  # absent from older servers
        self.text = text


class _WorkerNames:
    """The node, pod, container and job of each worker, requested again for workers that are new."""

    def __init__(self, client: Client, ref: str, names: tuple[str, ...]) -> None:
        self._client, self._ref, self._names = client, ref, names
        self._by_worker: dict[str, dict[str, str]] = {}

    def of(self, worker: str | None) -> dict[str, str]:
        """Return the requested names of a worker, those that are known."""
        if not self._names or worker is None:
            return {}
        if worker not in self._by_worker:
            workers = self._client.experiment(self._ref).get("workers", [])
            self._by_worker = {each["name"]: {"node": each["node"], **each.get("objects", {})} for each in workers}
            self._by_worker.setdefault(worker, {})  # ended long ago: the server lists the latest ones
        known = self._by_worker[worker]
        return {name: known[name] for name in self._names if known.get(name)}


LineFilter = Callable[[list[Line]], list[Line]]
"""keeps the lines that match the pattern"""


class _Splitter:
    """Splits chunks into lines, in the order of the chunks."""

    def __init__(self) -> None:
        self._rest: dict[str, tuple[documents.LogChunk, str]] = {}

    def lines(self, chunk: documents.LogChunk) -> list[Line]:
        """Return the lines that this chunk completes, and the unfinished line of a process that has exited."""
        lines = []
        pending = self._rest.pop(chunk["attempt"], (chunk, ""))[1]
        if chunk["gap"]:
            lines += [pending] if pending else []
            lines.append(f"[{size(chunk['gap'])} of output left out]")
            pending = ""
        *complete, last = (pending + chunk["text"]).split("\n")
        lines += complete
        if last and (len(last) > _MAX_PENDING_CHARACTERS or chunk["last"]):
            lines.append(last)
        elif last:
            self._rest[chunk["attempt"]] = (chunk, last)
        return [Line(chunk, _last_version(text)) for text in lines]

    def rest(self) -> list[Line]:
        """Return the unfinished lines at the end."""
        return [Line(chunk, _last_version(last)) for chunk, last in self._rest.values()]


def _lines(chunks: Iterator[documents.LogChunk], line_filter: LineFilter) -> Iterator[list[Line]]:
    """Yield the matching lines of each chunk."""
    splitter = _Splitter()
    for chunk in chunks:
        yield line_filter(splitter.lines(chunk))
    yield line_filter(splitter.rest())


def _tail(
    client: Client, ref: str, tail: int, line_filter: LineFilter, *, search_all: bool, follow: bool, **selection: Any
) -> Iterator[list[Line]]:
    """Yield the last matching lines, and with `follow` all later ones.

    `search_all`: search the whole log, since the server counts lines regardless of the pattern.
    """
    splitter, matches, cursor = _Splitter(), deque[Line](maxlen=tail), 0
    for chunk in client.logs(ref, **({} if search_all else {"tail": tail}), **selection):
        matches.extend(line_filter(splitter.lines(chunk)))
        cursor = chunk["cursor"]
    if not follow:
        matches.extend(line_filter(splitter.rest()))
        yield list(matches)
        return
    yield list(matches)
    for chunk in client.follow_logs(ref, after=cursor, **selection):
        yield line_filter(splitter.lines(chunk))
    yield line_filter(splitter.rest())


def _last_version(text: str) -> str:
    """Return the last version of a line that was overwritten (progress bar)."""
    return text.rstrip("\r").rpartition("\r")[2]


def _formatted(console: Console, line: Line, names: dict[str, str], *, is_single_trial: bool) -> str:
    if console.json:
        document: dict[str, Any] = {"trial": line.trial, "attempt": line.attempt, "worker": line.worker, "at": line.at}
        return console.in_json({**document, **names, "fold": line.fold, "line": line.text}) + "\n"
    paint, name, fold = console.paint, one_line(line.worker or "-"), "" if line.fold is None else f"fold {line.fold} "
    bar = paint.dim(paint.sign("│"))
    beside = "".join(f"{one_line(each)} " for each in names.values())
    if is_single_trial:
        return f"{beside}{fold}{bar} {line.text}\n" if fold or beside else f"{line.text}\n"
    padding = " " * (3 - len(name))
    return f"{paint.worker(name)}{padding} {beside}{line.trial:>4} {fold}{bar} {line.text}\n"


def _line_filter(grep: str | None) -> LineFilter:
    if grep is None:
        return lambda lines: lines
    try:
        pattern = compiled(grep)
    except ValueError as exc:
        hint = "escape special characters, as in \\["
        raise UsageError(f"invalid regular expression: --grep {grep!r}: {exc}", hint) from exc

    def matching(lines: list[Line]) -> list[Line]:
        matches: list[Line] = []
        if not in_time(lambda: matches.extend(line for line in lines if pattern.search(line.text)), GREP_SECONDS):
            hint = "avoid nested repetitions such as (a+)+"
            raise UsageError(f"--grep {grep!r} takes longer than {GREP_SECONDS:g} s to search a few lines", hint)
        return matches

    return matching


def _since(text: str | None) -> str | float | None:
    """Parse a time: RFC 3339 in UTC, or a number of seconds before now."""
    if text is None:
        return None
    error = UsageError(f"invalid time: --since {text!r}", "write 30s, 10m, 2h or 2026-01-31T12:00:00Z")
    try:
        seconds = parse_seconds(text)
        datetime.now(UTC) - timedelta(seconds=seconds)
        return seconds
    except ValueError:
        pass
    except OverflowError:  # before year 1
        raise error from None
    try:
        return _stamp(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        raise error from None


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
