"""`export`: every trial as a table for other programs; with `--all` whole experiments to keep."""

from __future__ import annotations

import argparse
import csv
import json
import secrets
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import Paint
from orchestune.client.attempts import seconds
from orchestune.errors import UsageError
from orchestune.system.private import open_for_writing

if TYPE_CHECKING:
    from orchestune import documents

_KINDS = {"": "csv", ".csv": "csv", ".txt": "csv", ".json": "json"}
"""by how the name of a file ends"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "export",
        export,
        details="With --all: every experiment that is over, with logs and files, for `orchestune import`.",
        example="orchestune export sgd-7f3a --format csv -o ~/sgd.csv\norchestune export --all -o archive/",
        json=False,
    )
    add_experiment(parser)
    parser.add_argument(
        "--format", choices=("csv", "json"), help="csv (default) or json; or what the name after -o ends with"
    )
    parser.add_argument("--all", action="store_true", help="whole experiments, all of them")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE instead of the screen; with --all a folder or s3://…"
    )


def export(console: Console, args: argparse.Namespace) -> int:
    """Write every trial, page by page."""
    if args.all:
        return _all(console, args)
    ref = console.experiment(args.exp)
    written = args.output and args.output != "-"
    kind = args.format or _kind(args.output if written else "")
    status = console.client.experiment(ref)
    with _target(Path(args.output) if written else None) as file:
        if kind == "json":
            _export_json(console.client.trials(status["id"]), file)
        else:
            _export_csv(console, status, file)
    if written:
        console.note(f"{status['handle']}: written to {args.output}")
    return 0


def _kind(name: str) -> str:
    """What the name of the file says. UsageError where it says something else than what would be written."""
    ending = Path(name).suffix.lower()
    if ending not in _KINDS:
        hint = "with `--format` any name will do; `orchestune trials --jsonl` prints JSON lines"
        raise UsageError(f"{name}: export writes CSV (.csv) and JSON (.json), not {ending}", hint)
    return _KINDS[ending]


def _all(console: Console, args: argparse.Namespace) -> int:
    from orchestune.cli.inspect.archive import export_all  # only what is needed is loaded

    if args.exp or args.format:
        raise UsageError("--all is about every experiment, and has a format of its own", "leave out the rest")
    if not args.output:
        raise UsageError("--all needs a place to write to", "orchestune export --all -o archive/")
    return export_all(console, args.output)


@contextmanager
def _target(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears whole or not at all. A pipe, a device or a link is never replaced."""
    if path is None:
        yield sys.stdout
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file in it; with --all whole experiments go into a folder")
    # Short, as names may be as long as names can be; not predictable, as others may write to the folder.
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            with open_for_writing(path) as file:
                yield file
            return
        with part.open("x", newline="", encoding="utf-8") as file:
            yield file
        part.replace(path)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
    finally:
        with suppress(OSError):  # a folder that nobody can write into does not even say that it is not there
            part.unlink()


def _export_json(found: Iterator[documents.Trial], file: TextIO) -> None:
    separator, ascii_alone = "[\n", not Paint.of(file).unicode
    for trial in found:
        file.write(separator + json.dumps(trial, ensure_ascii=ascii_alone))
        separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


class _Lines:
    """Rows that end as lines do. A writer quotes the characters of its own end alone, and text with a carriage return
    would be two rows to who reads it.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """A whole row."""
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _export_csv(console: Console, status: documents.Status, file: TextIO) -> None:
    document = console.client.specification(status["id"])
    parameters = [item["name"] for item in document["specification"]["parameters"]]
    metrics = [metric["name"] for metric in status["metrics"]]
    writer = csv.writer(_Lines(file), lineterminator="\r\n")
    first = ("trial", "state", "reason", "source")
    folds = [status["folds"]] if status["folds"] > 1 else []  # the spread is that of one, the value the mean of all
    last = ("seed", "code", "attempts", "started_at", "finished_at", "seconds", *(["folds"] if folds else []))
    measured = _apart("metrics", metrics, {*first, *last, *(f"{name}.stddev" for name in metrics)})
    columns = [column for name in measured for column in (name, f"{name}.stddev")]
    writer.writerow([*first, *columns, *_apart("params", parameters, {*first, *last, *columns}), *last])
    for trial in console.client.trials(status["id"]):
        values: list[Any] = []
        for name in metrics:
            measurement = trial["metrics"].get(name)
            values += [measurement["value"], measurement["stddev"]] if measurement else [None, None]
        took = seconds(trial) if trial["finished_at"] else None
        reason = trial["reason"]["code"] if trial["reason"] else ""
        values += [_cell(trial["parameters"].get(name)) for name in parameters]
        values += [trial["seed"], trial["bundle"], len(trial["attempts"]), trial["started_at"], trial["finished_at"]]
        values += [None if took is None else round(took, 3), *folds]
        writer.writerow([trial["number"], trial["state"], reason, trial["source"], *values])


def _apart(kind: str, names: Sequence[str], others: Collection[str]) -> list[str]:
    """The names as columns: with their kind where another column is called the same, as with a parameter `seed`."""
    return [f"{kind}.{name}" if name in others else name for name in names]


def _cell(value: Any) -> Any:
    """A value of a parameter as the command got it."""
    return ("true" if value else "false") if isinstance(value, bool) else value
