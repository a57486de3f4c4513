"""`compare`: show experiments side by side."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.render import Paint, duration, elapsed, measured, number, table
from orchestune.cli.terminal.sparkline import curves
from orchestune.client.states import finished
from orchestune.domain.specification.metrics import Metric, feasible
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents

_MAX_BARS = 20
"""columns of the best values over the trials"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "compare",
        compare,
        details="By trials, time and compute; then the best configurations, with differing parameters first.",
        example="orchestune compare sgd-7f3a sgd-91c2",
    )
    add_cluster(parser)
    parser.add_argument("exp", metavar="EXP", nargs="+", help="handles or prefixes of two experiments or more")
    parser.add_argument(
        "--metric", metavar="NAME", help="metric that all of them declare (default: the first common one)"
    )


@dataclass(frozen=True)
class ComparedExperiment:
    """One of the compared experiments."""

    status: documents.Status
    curve: list[float | None]
    """best value after each finished trial that has one; None until a trial satisfies every constraint"""
    compute: float
    """total seconds of all attempts"""
    best: documents.Trial | None

    def document(self, trials: int) -> dict[str, Any]:
        """Return the `--json` document; `trials`: number of trials compared per experiment."""
        status = self.status
        return {
            "handle": status["handle"],
            "state": status["state"],
            "finished": finished(status),
            "best": self.curve[-1] if self.curve else None,
            "best_after": {"trials": trials, "value": self.curve[trials - 1] if trials else None},
            "wall_seconds": elapsed(status) if status["started_at"] else None,
            "compute_seconds": self.compute,
            "parameters": dict(self.best["parameters"]) if self.best else {},
        }


def compare(console: Console, args: argparse.Namespace) -> int:
    """Print one row per experiment, then their best configurations."""
    if len(args.exp) < 2:
        raise UsageError("compare needs at least two experiments", "orchestune compare sgd-7f3a sgd-91c2")
    statuses = [console.client.experiment(console.experiment(ref)) for ref in args.exp]
    metric = _metric(statuses, args.metric)
    sides = [_side(status, list(console.client.trials(status["id"])), metric) for status in statuses]
    trials = min(len(side.curve) for side in sides)
    documents = [side.document(trials) for side in sides]
    if console.json:
        console.document({"schema": 1, "metric": metric["name"], "experiments": documents})
        return 0
    progress = curves([side.curve for side in sides], _MAX_BARS, console.paint)
    console.say(*_summary(documents, progress, metric, trials, console.paint, console.columns))
    console.say("", *_configurations(documents, console.paint, console.columns))
    return 0


def _metric(statuses: Sequence[documents.Status], name: str | None) -> documents.Metric:
    common = set.intersection(*({metric["name"] for metric in status["metrics"]} for status in statuses))
    if name is not None and name not in common:
        raise UsageError(f"metric '{name}' is not declared by all of them", f"use one of {', '.join(sorted(common))}")
    for metric in statuses[0]["metrics"]:
        if metric["name"] == name or (name is None and metric["name"] in common):
            others = sorted(common - {metric["name"]})
            same = [other for status in statuses for other in status["metrics"] if other["name"] == metric["name"]]
            optimized = [other for other in same if other.get("optimized", True)]
            if len({other["goal"] for other in optimized or same}) > 1:
                verb = ("minimized", "maximized") if optimized else ("limited from above", "limited from below")
                hint = f"compare by another metric: --metric with one of {', '.join(others)}" if others else ""
                raise UsageError(f"{metric['name']} is {verb[0]} by some of them and {verb[1]} by others", hint)
            return (optimized or same)[0]
    raise UsageError("these experiments have no metric in common", "compare experiments with a common metric")


def _side(status: documents.Status, trials: Sequence[documents.Trial], metric: documents.Metric) -> ComparedExperiment:
    sign = 1 if metric["goal"] == "minimize" else -1
    finished_trials = [
        trial for trial in trials if trial["state"] == "completed" and metric["name"] in trial["metrics"]
    ]
    finished_trials.sort(key=lambda trial: trial["finished_at"] or "")
    declared = [Metric.from_json(metric_document) for metric_document in status["metrics"]]
    curve: list[float | None] = []
    best: documents.Trial | None = None
    best_loss = math.inf
    for trial in finished_trials:
        values = {name: measured["value"] for name, measured in trial["metrics"].items()}
        loss = sign * values[metric["name"]]
        if loss < best_loss and feasible(declared, values):
            best, best_loss = trial, loss
        curve.append(None if best is None else sign * best_loss)
    compute = sum(attempt["wall_seconds"] or 0.0 for trial in trials for attempt in trial["attempts"])
    return ComparedExperiment(status, curve, compute, best)


def _summary(
    sides: Sequence[Mapping[str, Any]],
    progress: Sequence[str],
    metric: documents.Metric,
    trials: int,
    paint: Paint,
    columns: int | None,
) -> list[str]:
    values = [side["best"] for side in sides if side["best"] is not None]
    winner = (min if metric["goal"] == "minimize" else max)(values, default=None)
    rows = []
    for side, bars in zip(sides, progress, strict=True):
        best = measured({"value": side["best"], "stddev": None}, paint) if side["best"] is not None else "-"
        after = side["best_after"]["value"]
        rows.append([
            side["handle"], paint.state(side["state"]), str(side["finished"]),
            paint("1;32", best) if side["best"] == winner else best,
            "-" if after is None else number(after), duration(side["wall_seconds"]), duration(side["compute_seconds"]),
            paint("32", bars),
        ])  # fmt: skip
    header = (
        "EXPERIMENT", "STATE", "TRIALS", metric["name"].upper(), f"AFTER {trials}", "TIME", "COMPUTE", "BEST SO FAR",
    )  # fmt: skip
    return table(header, rows, paint, right=(2, 3, 4, 5, 6), columns=columns)


def _configurations(sides: Sequence[Mapping[str, Any]], paint: Paint, columns: int | None) -> list[str]:
    names = list(dict.fromkeys(name for side in sides for name in side["parameters"]))
    absent = object()

    def is_equal(name: str) -> bool:
        return len({repr(side["parameters"].get(name, absent)) for side in sides}) == 1

    rows = [
        [name, *(number(side["parameters"].get(name)) for side in sides)] for name in sorted(names, key=is_equal)
    ]  # differing parameters first
    header = ("BEST HAS", *(side["handle"] for side in sides))
    return table(header, rows, paint, right=tuple(range(1, len(header))), columns=columns)
