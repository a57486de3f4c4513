"""`best` and `trials`: show configurations and their outcomes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from orchestune.cli.inspect.trial_selection import column, condition, matching
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment, positive
from orchestune.cli.terminal.progress import best_values, exact, no_best_reason
from orchestune.cli.terminal.render import (
    Paint,
    duration,
    failure_tail,
    last_lines,
    measured,
    number,
    one_line,
    size,
    table,
    width,
)
from orchestune.cli.terminal.running import latest_text, progress_text
from orchestune.client.attempts import seconds
from orchestune.domain.words import plural
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents

SHORT_DIGEST_DIGITS = 12
"""digits of a bundle's digest in the output"""
_MIN_REASON_COLUMNS = 30
"""columns for the beginning of a reason"""
_COLUMN_GAP = 2
"""columns between two columns of a table"""
_STATES = ("queued", "running", "completed", "failed", "pruned", "cancelled")


def add(commands: Commands) -> None:
    """Register `best` and `trials`."""
    parser = add_command(commands, "best", best, example="orchestune best sgd-7f3a")
    add_experiment(parser)
    parser = add_command(
        commands,
        "trials",
        trials,
        example="orchestune trials sgd-7f3a --sort accuracy --limit 5\n"
        "orchestune trials --where 'lr<0.01' --where optimizer=adam\n"
        "orchestune trials sgd-7f3a --state failed\norchestune trials sgd-7f3a/12",
    )
    add_experiment(parser, trial="may")
    parser.add_argument(
        "--state", choices=_STATES, metavar="STATE", help=f"only trials in this state: {', '.join(_STATES)}"
    )
    parser.add_argument(
        "--sort", metavar="NAME",
        help="order by a metric (the best first), a parameter, number or seconds; --sort=-NAME reverses it"
        " (default: number)",
    )  # fmt: skip
    parser.add_argument(
        "--where", type=condition, action="append", default=[], metavar="CONDITION",
        help="only trials with such a metric, parameter, number or seconds: 'lr<0.01', optimizer=adam; repeatable",
    )  # fmt: skip
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N")
    parser.add_argument("--jsonl", action="store_true", help="print one JSON document per line as it arrives")


def best(console: Console, args: argparse.Namespace) -> int:
    """Print the best configuration, or those of the Pareto front."""
    ref, paint = console.experiment(args.exp), console.paint
    best_trials = console.client.best(ref)
    if console.json:
        console.document(best_trials)
        return 0
    if not best_trials:
        console.say(no_best_reason(console.client.experiment(ref)))
        return 0
    for index, entry in enumerate(best_trials):
        values = ", ".join(
            f"{name} {paint('1;32', measured(value, paint))}" for name, value in entry["metrics"].items()
        )
        is_noisy = entry.get("expected") is not None
        heading = (
            best_values(entry, list(entry["metrics"]), paint) if is_noisy else [f"trial {entry['trial']}: {values}"]
        )
        console.say(*([""] if index else []), *heading)
        names = max((len(name) for name in entry["parameters"]), default=0)
        console.say(*(f"  {name:{names}}  {one_line(exact(value))}" for name, value in entry["parameters"].items()))
    return 0


def trials(console: Console, args: argparse.Namespace) -> int:
    """Print a table of the trials, or one trial."""
    ref, number = console.reference(args.exp)
    if number is not None:
        if option := _selecting_option(args):
            raise UsageError(f"{option} cannot be combined with a trial", f"remove {option}, or /{number}")
        trial = console.client.trial(ref, number)
        if args.jsonl:
            console.lines([trial])
        elif console.json:
            console.document(trial)
        else:
            console.say(*_detail(trial, ref, console.paint, _progress(trial, ref, console)))
        return 0
    trial_list = _selected(console, ref, args)
    if args.jsonl:
        console.lines(trial_list)
    elif console.json:
        console.document(list(trial_list))
    else:
        status = console.client.experiment(ref)
        lines = _table(list(trial_list), status, console)
        console.say(*(lines or ["no such trials" if _selecting_option(args) else "no trials yet"]))
    return 0


def _selecting_option(args: argparse.Namespace) -> str:
    """Return the first option that selects or orders trials; empty if there is none."""
    options = {"--state": args.state, "--sort": args.sort, "--where": args.where, "--limit": args.limit}
    return next((option for option, value in options.items() if value), "")


def _selected(console: Console, ref: str, args: argparse.Namespace) -> Iterable[documents.Trial]:
    """Return the trials that the options select, in their order."""

    def parameters() -> list[str]:
        return [each["name"] for each in console.client.specification(ref)["specification"]["parameters"]]

    order = column(args.sort, console.client.experiment(ref)["metrics"], parameters) if args.sort else None
    return islice(matching(console.client.trials(ref, state=args.state, sort=order), args.where), args.limit)


def _table(trials: list[documents.Trial], status: documents.Status, console: Console) -> list[str]:
    paint = console.paint
    if not trials:
        return []
    metrics = [metric["name"] for metric in status["metrics"]]
    parameters = list(dict.fromkeys(name for trial in trials for name in trial["parameters"]))
    bests = {entry["trial"] for entry in status["best"]}
    several = len({trial["bundle"] for trial in trials}) > 1
    running = _latest_by_trial(status)
    rows = []
    for trial in trials:
        live = running.get(trial["number"]) if trial["state"] == "running" else None
        measurements = {**trial["metrics"], **_latest(live, metrics[0])}
        remark = latest_text(live, paint) if live else _remark(trial)
        rows.append([
            str(trial["number"]),
            paint.state(trial["state"]),
            *(
                paint("1;32", text) if trial["number"] in bests else text
                for text in (measured(measurements.get(name), paint) for name in metrics)
            ),
            *(one_line(number(trial["parameters"].get(name))) for name in parameters),
            *([(trial["bundle"] or "")[:SHORT_DIGEST_DIGITS]] if several else []),
            duration(seconds(trial)),
            remark,
        ])  # fmt: skip
    code = ["CODE"] if several else []
    header = ["TRIAL", "STATE", *(name.upper() for name in metrics), *parameters, *code, "TIME", ""]
    if console.columns:
        first = 2 + len(metrics)
        header, *rows = _fitted([header, *rows], first, first + len(parameters), console)
    return table(header, rows, paint, right=(0, *range(2, 2 + len(metrics)), len(header) - 2), columns=console.columns)


def _latest_by_trial(status: documents.Status) -> dict[int, documents.RunningTrial]:
    """Return the live attempt of each running trial; of several folds the last one that has reported a value."""
    live = sorted(status.get("running", []), key=lambda item: item.get("latest") is not None)
    return {item["trial"]: item for item in live}


def _progress(trial: documents.Trial, ref: str, console: Console) -> str:
    if trial["state"] != "running":
        return ""
    status = console.client.experiment(ref)
    live = _latest_by_trial(status).get(trial["number"])
    return progress_text(live, status, console.paint) if live else ""


def _latest(item: documents.RunningTrial | None, name: str) -> dict[str, Mapping[str, float]]:
    """Return the latest value of the first metric like the metrics of a trial that has ended."""
    latest = item.get("latest") if item else None
    return {name: {"value": latest["value"]}} if latest else {}


def _remark(trial: documents.Trial) -> str:
    return one_line(trial["reason"]["message"]) if trial["reason"] and trial["state"] != "completed" else ""


def _fitted(rows: list[list[str]], first: int, end: int, console: Console) -> list[list[str]]:
    """Keep as many of the columns from `first` to `end` as leave room for duration and reason.

    The number of hidden columns is shown.
    """
    widths = [max(map(width, column)) + _COLUMN_GAP for column in zip(*rows, strict=True)]
    widths[-1] = min(widths[-1], _MIN_REASON_COLUMNS)
    available = (console.columns or 0) - sum(widths[:first] + widths[end:])
    if sum(widths[first:end]) <= available:
        return rows
    visible_count, available = 0, available - len(_hidden_columns(end - first, console)) - _COLUMN_GAP
    while visible_count < end - first and widths[first + visible_count] <= available:
        available, visible_count = available - widths[first + visible_count], visible_count + 1
    hidden_text = _hidden_columns(end - first - visible_count, console)
    return [
        [*row[: first + visible_count], "" if row_index else hidden_text, *row[end:]]
        for row_index, row in enumerate(rows)
    ]


def _hidden_columns(count: int, console: Console) -> str:
    return f"{console.paint.sign('…')} {count} more"


def _detail(trial: documents.Trial, ref: str, paint: Paint, progress: str) -> list[str]:
    wall_seconds = seconds(trial)
    facts = [paint.state(trial["state"])] + ([] if wall_seconds is None else [duration(wall_seconds)])
    facts += [f"suggested by {trial['source']}{_after(trial.get('suggested_after'))}", f"seed {trial['seed']}"]
    lines = [f"{paint.bold('trial ' + str(trial['number']))}  {', '.join(facts)}"]
    if trial["bundle"]:
        lines.append(f"code        {trial['bundle'][:SHORT_DIGEST_DIGITS]}")
    if trial["reason"] is not None:
        lines.append(f"why         {paint('33', one_line(trial['reason']['message']))}")
    if progress:
        lines.append(f"latest      {progress}")
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
        lines.append(paint.dim(f"orchestune get {ref}/{trial['number']} downloads them"))
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


def _attempt(attempt: documents.Attempt, paint: Paint, has_folds: bool) -> list[str]:
    head = f"attempt {attempt['number']}" + (f" of fold {attempt['fold']}" if has_folds else "")
    location = f" by {paint.worker(attempt['worker'])} on {attempt['node']}" if attempt["worker"] else ""
    gpus = f", gpu {','.join(attempt['gpus'])}" if attempt.get("gpus") else ""
    lines = [f"{head}  {paint.state(attempt['state'])}{location}{gpus}"]
    if attempt["reason"] is not None:
        first, *more = attempt["reason"]["message"].splitlines() or [""]
        lines += [f"  why       {one_line(first)}", *(f"            {one_line(line)}" for line in more)]
    facts = []
    if attempt["exit_code"] is not None:
        facts.append(f"exit code {attempt['exit_code']}")
    if attempt["signal"] is not None:
        facts.append(f"signal {attempt['signal']}")
    facts += [
        f"wall {duration(attempt['wall_seconds'])}", f"cpu {duration(attempt['cpu_seconds'])}",
        f"peak memory {size(attempt['peak_memory_bytes'])}",
    ]  # fmt: skip
    lines.append(f"  {', '.join(facts)}")
    if attempt.get("raised_memory_bytes"):
        lines.append(
            f"  memory raised to {size(attempt['raised_memory_bytes'])} after an earlier attempt ran out of memory"
        )
    resumed_from = attempt.get("resumed_from")
    if resumed_from:
        step = resumed_from.get("step")
        lines.append(f"  resumed from a checkpoint{'' if step is None else f' at step {number(step)}'}")
    tail_of = failure_tail if attempt["state"] == "failed" else last_lines
    lines += [f"  {paint.dim(paint.sign('│'))} {line}" for line in tail_of(attempt.get("tail") or "", 10)]
    return lines
