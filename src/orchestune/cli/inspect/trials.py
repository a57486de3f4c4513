"""`best` and `trials`: configurations and what came of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.progress import exact, expected, luck, nothing_best
from orchestune.cli.terminal.render import (
    Paint,
    duration,
    last_lines,
    last_words,
    measured,
    number,
    one_line,
    size,
    table,
    width,
)
from orchestune.client.attempts import seconds
from orchestune.domain.words import plural
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents

SHORT = 12
"""digits of a bundle's digest, as people see it"""
_WHY = 30
"""columns in which the beginning of a reason can be read"""
_BETWEEN = 2
"""columns between those of a table"""
_STATES = ("queued", "running", "completed", "failed", "pruned", "cancelled")


def add(commands: Commands) -> None:
    """Add `best` and `trials`."""
    parser = add_command(commands, "best", best, example="orchestune best sgd-7f3a")
    add_experiment(parser)
    parser = add_command(
        commands,
        "trials",
        trials,
        example="orchestune trials sgd-7f3a --state failed\norchestune trials sgd-7f3a/12",
    )
    add_experiment(parser, trial="may")
    parser.add_argument("--state", choices=_STATES, metavar="STATE", help=f"only those that are {', '.join(_STATES)}")
    parser.add_argument(
        "--jsonl", action="store_true", help="print one JSON document per line, each as soon as it is read"
    )


def best(console: Console, args: argparse.Namespace) -> int:
    """The best configuration, or those of the Pareto front."""
    ref, paint = console.experiment(args.exp), console.paint
    found = console.client.best(ref)
    if console.json:
        console.document(found)
        return 0
    if not found:
        console.say(nothing_best(console.client.experiment(ref)))
        return 0
    for index, entry in enumerate(found):
        values = ", ".join(
            f"{name} {paint('1;32', measured(value, paint))}" for name, value in entry["metrics"].items()
        )
        console.say(*([""] if index else []), f"trial {entry['trial']}: {values}{expected(entry, paint)}")
        names = max((len(name) for name in entry["parameters"]), default=0)
        console.say(*(f"  {name:{names}}  {one_line(exact(value))}" for name, value in entry["parameters"].items()))
        console.say(*(f"  {line}" for line in luck(entry, paint)))
    return 0


def trials(console: Console, args: argparse.Namespace) -> int:
    """A table, or one trial."""
    ref, chosen = console.reference(args.exp)
    if chosen is not None:
        if args.state:
            raise UsageError("--state is about the trials of an experiment", f"leave it out, or /{chosen}")
        trial = console.client.trial(ref, chosen)
        if args.jsonl:
            console.lines([trial])
        elif console.json:
            console.document(trial)
        else:
            console.say(*_detail(trial, ref, console.paint))
        return 0
    found = console.client.trials(ref, state=args.state)
    if args.jsonl:
        console.lines(found)
    elif console.json:
        console.document(list(found))
    else:
        status = console.client.experiment(ref)
        lines = _table(list(found), status, console)
        console.say(*(lines or ["no such trials" if args.state else "no trials yet"]))
    return 0


def _table(found: list[documents.Trial], status: documents.Status, console: Console) -> list[str]:
    paint = console.paint
    if not found:
        return []
    metrics = [metric["name"] for metric in status["metrics"]]
    parameters = list(dict.fromkeys(name for trial in found for name in trial["parameters"]))
    bests = {entry["trial"] for entry in status["best"]}
    several = len({trial["bundle"] for trial in found}) > 1
    rows = []
    for trial in found:
        reason = trial["reason"]["message"] if trial["reason"] and trial["state"] != "completed" else ""
        rows.append([
            str(trial["number"]),
            paint.state(trial["state"]),
            *(
                paint("1;32", text) if trial["number"] in bests else text
                for text in (measured(trial["metrics"].get(name), paint) for name in metrics)
            ),
            *(one_line(number(trial["parameters"].get(name))) for name in parameters),
            *([(trial["bundle"] or "")[:SHORT]] if several else []),
            duration(seconds(trial)),
            one_line(reason),
        ])  # fmt: skip
    code = ["CODE"] if several else []
    header = ["TRIAL", "STATE", *(name.upper() for name in metrics), *parameters, *code, "TIME", ""]
    if console.columns:
        first = 2 + len(metrics)
        header, *rows = _narrowed([header, *rows], first, first + len(parameters), console)
    return table(header, rows, paint, right=(0, *range(2, 2 + len(metrics)), len(header) - 2), columns=console.columns)


def _narrowed(rows: list[list[str]], first: int, end: int, console: Console) -> list[list[str]]:
    """The table with as many of its columns from `first` to `end` as leave room for how long trials took and why they
    failed; the number of the others in their place.
    """
    widths = [max(map(width, column)) + _BETWEEN for column in zip(*rows, strict=True)]
    widths[-1] = min(widths[-1], _WHY)
    room = (console.columns or 0) - sum(widths[:first] + widths[end:])
    if sum(widths[first:end]) <= room:
        return rows
    kept, room = 0, room - len(_more(end - first, console)) - _BETWEEN
    while kept < end - first and widths[first + kept] <= room:
        room, kept = room - widths[first + kept], kept + 1
    left = _more(end - first - kept, console)
    return [[*row[: first + kept], "" if place else left, *row[end:]] for place, row in enumerate(rows)]


def _more(count: int, console: Console) -> str:
    return f"{console.paint.sign('…')} {count} more"


def _detail(trial: documents.Trial, ref: str, paint: Paint) -> list[str]:
    took = seconds(trial)
    facts = [paint.state(trial["state"])] + ([] if took is None else [duration(took)])
    facts += [f"suggested by {trial['source']}{_after(trial.get('suggested_after'))}", f"seed {trial['seed']}"]
    lines = [f"{paint.bold('trial ' + str(trial['number']))}  {', '.join(facts)}"]
    if trial["bundle"]:
        lines.append(f"code        {trial['bundle'][:SHORT]}")
    if trial["reason"] is not None:
        lines.append(f"why         {paint('33', one_line(trial['reason']['message']))}")
    lines += _block("metrics", {name: measured(value, paint) for name, value in trial["metrics"].items()})
    lines += _block("parameters", {name: one_line(exact(value)) for name, value in trial["parameters"].items()})
    tasks = trial.get("folds") or []
    if len(tasks) > 1:
        lines += ["", *_folds(tasks, paint)]
    for attempt in trial["attempts"]:
        lines += ["", *_attempt(attempt, paint, len(tasks) > 1)]
    artifacts = trial.get("artifacts") or []
    if artifacts:
        files = [[one_line(item["path"]), size(item["size"])] for item in artifacts]
        lines += ["", *table(("FILE", "SIZE"), files, paint, right=(1,))]
        lines.append(paint.dim(f"orchestune get {ref}/{trial['number']} fetches them"))
    return lines


def _after(results: int | None) -> str:
    return f" after {plural(results, 'result')}" if results else ""


def _block(title: str, values: Mapping[str, str]) -> list[str]:
    names = max(map(len, values), default=0)
    return [f"{'' if index else title:11} {name:{names}}  {text}" for index, (name, text) in enumerate(values.items())]


def _folds(tasks: Sequence[documents.Fold], paint: Paint) -> list[str]:
    names = list(dict.fromkeys(name for task in tasks for name in task["metrics"]))
    rows = [
        [str(task["fold"]), paint.state(task["state"]), *(measured(task["metrics"].get(name), paint) for name in names)]
        for task in tasks
    ]
    header = ("FOLD", "STATE", *(name.upper() for name in names))
    return table(header, rows, paint, right=(0, *range(2, len(header))))


def _attempt(attempt: documents.Attempt, paint: Paint, several: bool) -> list[str]:
    head = f"attempt {attempt['number']}" + (f" of fold {attempt['fold']}" if several else "")
    where = f" by {paint.worker(attempt['worker'])} on {attempt['node']}" if attempt["worker"] else ""
    gpus = f", gpu {','.join(attempt['gpus'])}" if attempt.get("gpus") else ""
    lines = [f"{head}  {paint.state(attempt['state'])}{where}{gpus}"]
    if attempt["reason"] is not None:
        first, *more = attempt["reason"]["message"].splitlines() or [""]
        lines += [f"  why       {one_line(first)}", *(f"            {one_line(line)}" for line in more)]
    ended = []
    if attempt["exit_code"] is not None:
        ended.append(f"exit code {attempt['exit_code']}")
    if attempt["signal"] is not None:
        ended.append(f"signal {attempt['signal']}")
    ended += [
        f"wall {duration(attempt['wall_seconds'])}", f"cpu {duration(attempt['cpu_seconds'])}",
        f"peak memory {size(attempt['peak_memory_bytes'])}",
    ]  # fmt: skip
    lines.append(f"  {', '.join(ended)}")
    if attempt.get("raised_memory_bytes"):
        lines.append(f"  given {size(attempt['raised_memory_bytes'])} of memory, since less was not enough")
    resumed_from = attempt.get("resumed_from")
    if resumed_from:
        step = resumed_from.get("step")
        lines.append(f"  resumed from a checkpoint{'' if step is None else f' at step {number(step)}'}")
    end = last_words if attempt["state"] == "failed" else last_lines
    lines += [f"  {paint.dim(paint.sign('│'))} {line}" for line in end(attempt.get("tail") or "", 10)]
    return lines
