"""`export`: write trials as a table; `--to` sends them to a tracker, `--all` archives whole experiments."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, TextIO

from orchestune.cli.inspect.output_file import output_file
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.render import Paint
from orchestune.client.attempts import seconds
from orchestune.domain.words import plural
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents

TRACKERS = ("tensorboard", "trackio", "wandb")
_FORMATS = {"": "csv", ".csv": "csv", ".txt": "csv", ".json": "json"}
"""formats by file suffix"""
_MAX_UNDECLARED = 100
"""columns of metrics that trials reported and the experiment does not declare"""
_SPOOL_BYTES = 16 * 2**20
"""of trials that are kept in memory until all names of metrics are known; more of them go to a temporary file"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "export",
        export,
        details="With --all: every ended experiment, with logs and files, for `orchestune import`.",
        example="orchestune export sgd-7f3a --format csv -o ~/sgd.csv\norchestune export sgd-7f3a --to wandb --follow\n"
        "orchestune export --all -o archive/",
        json=False,
    )
    add_experiment(parser)
    parser.add_argument(
        "--format", choices=("csv", "json"), help="csv or json (default: from the suffix of the -o file, else csv)"
    )
    parser.add_argument("--all", action="store_true", help="export all experiments completely")
    parser.add_argument(
        "--to", choices=TRACKERS, help="create a run with curves for each finished trial in an experiment tracker"
    )
    parser.add_argument(
        "--follow", action="store_true", help="with --to: include running trials, until the experiment has ended"
    )
    parser.add_argument(
        "--project", metavar="NAME", help="project in W&B or trackio (default: the name of the experiment)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write to FILE instead of standard output; with --all a folder or s3://…, with --to a folder",
    )


def export(console: Console, args: argparse.Namespace) -> int:
    """Write every trial, page by page."""
    if args.all:
        return _export_all(console, args)
    if args.to:
        from orchestune.cli.inspect.export_runs import export_runs  # not needed for tables

        return export_runs(console, args)
    if args.follow or args.project:
        raise UsageError("--follow and --project need --to", "orchestune export EXP --to wandb --follow")
    ref = console.experiment(args.exp)
    is_file = args.output and args.output != "-"
    format = args.format or _format_of(args.output if is_file else "")
    status = console.client.experiment(ref)
    folder_hint = "name a file in it, or add --all to export whole experiments"
    with output_file(Path(args.output) if is_file else None, folder_hint) as file:
        if format == "json":
            _export_json(console.client.trials(status["id"]), file)
        else:
            _export_csv(console, status, file)
    if is_file:
        console.note(f"{status['handle']}: written to {args.output}")
    return 0


def _format_of(name: str) -> str:
    """Return the format for a file name. Raises UsageError for a suffix of another format."""
    ending = Path(name).suffix.lower()
    if ending not in _FORMATS:
        hint = "add `--format` to use any name; `orchestune trials --jsonl` prints JSON lines"
        raise UsageError(f"unsupported format of '{name}': {ending} (expected .csv or .json)", hint)
    return _FORMATS[ending]


def _export_all(console: Console, args: argparse.Namespace) -> int:
    from orchestune.cli.inspect.archive import export_all  # not needed for tables

    if args.exp or args.format or args.to:
        raise UsageError("--all cannot be combined with EXP, --format or --to", "remove them")
    if not args.output:
        raise UsageError("--all needs a destination", "orchestune export --all -o archive/")
    return export_all(console, args.output)


def _export_json(trials: Iterator[documents.Trial], file: TextIO) -> None:
    separator, is_ascii_only = "[\n", not Paint.of(file).unicode
    for trial in trials:
        file.write(separator + json.dumps(trial, ensure_ascii=is_ascii_only))
        separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


class _Lines:
    """Rows that end with a newline.

    The csv writer quotes only characters of its own line terminator; an unquoted carriage return would split a row for
    the reader.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write a whole row."""
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _export_csv(console: Console, status: documents.Status, file: TextIO) -> None:
    document = console.client.specification(status["id"])
    parameters = [item["name"] for item in document["specification"]["parameters"]]
    metrics = [metric["name"] for metric in status["metrics"]]
    writer = csv.writer(_Lines(file), lineterminator="\r\n")
    first_columns = ("trial", "state", "reason", "source")
    folds = [status["folds"]] if status["folds"] > 1 else []  # the value is the mean over folds, stddev that within one
    last_columns = ("seed", "code", "attempts", "started_at", "finished_at", "seconds", *(["folds"] if folds else []))
    metric_columns = _distinct_columns(
        "metrics", metrics, {*first_columns, *last_columns, *(f"{name}.stddev" for name in metrics)}
    )
    columns = [column for name in metric_columns for column in (name, f"{name}.stddev")]
    columns += _distinct_columns("params", parameters, {*first_columns, *last_columns, *columns})
    columns = [*first_columns, *columns, *last_columns]
    with SpooledTemporaryFile(_SPOOL_BYTES, "w+", encoding="utf-8") as spool:
        undeclared = _spool(console.client.trials(status["id"]), metrics, spool)
        if left_out := undeclared[_MAX_UNDECLARED:]:
            console.note(f"{plural(len(left_out), 'undeclared metric')} left out; `--format json` has all metrics")
        undeclared = undeclared[:_MAX_UNDECLARED]
        writer.writerow([*columns, *_distinct_columns("metrics", undeclared, columns)])
        for line in spool:
            trial: documents.Trial = json.loads(line)
            measured = trial["metrics"]
            writer.writerow(
                [
                    *_cells(trial, metrics, parameters),
                    *folds,
                    *(measured[name]["value"] if name in measured else None for name in undeclared),
                ]
            )


def _spool(trials: Iterator[documents.Trial], declared: Collection[str], spool: IO[str]) -> list[str]:
    """Write trials as lines, to be read from the start, and return the names of their undeclared metrics in order."""
    undeclared = set[str]()
    for trial in trials:
        undeclared.update(trial["metrics"])
        spool.write(json.dumps(trial) + "\n")
    spool.seek(0)
    return sorted(undeclared.difference(declared))


def _cells(trial: documents.Trial, metrics: Sequence[str], parameters: Sequence[str]) -> list[Any]:
    """Return the values of a row, up to `seconds`."""
    values: list[Any] = []
    for name in metrics:
        measurement = trial["metrics"].get(name)
        values += [measurement["value"], measurement["stddev"]] if measurement else [None, None]
    wall_seconds = seconds(trial) if trial["finished_at"] else None
    reason = trial["reason"]["code"] if trial["reason"] else ""
    values += [_cell(trial["parameters"].get(name)) for name in parameters]
    values += [trial["seed"], trial["bundle"], len(trial["attempts"]), trial["started_at"], trial["finished_at"]]
    values.append(None if wall_seconds is None else round(wall_seconds, 3))
    return [trial["number"], trial["state"], reason, trial["source"], *values]


def _distinct_columns(kind: str, names: Sequence[str], others: Collection[str]) -> list[str]:
    """Return column names, prefixed with their kind if another column has the same name, such as a parameter `seed`."""
    return [f"{kind}.{name}" if name in others else name for name in names]


def _cell(value: Any) -> Any:
    """Format a parameter as the command received it."""
    return ("true" if value else "false") if isinstance(value, bool) else value
