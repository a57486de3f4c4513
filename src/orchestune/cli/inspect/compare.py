"""`compare`: several experiments side by side."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.render import Paint, between, duration, measured, number, table
from orchestune.client.states import finished
from orchestune.domain.specification.metrics import Metric, feasible
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "compare",
        compare,
        details="By trials, by time and by compute; then the best configurations, what differs first.",
        example="orchestune compare sgd-7f3a sgd-91c2",
    )
    add_cluster(parser)
    parser.add_argument("exp", metavar="EXP", nargs="+", help="handles or prefixes of two experiments or more")
    parser.add_argument("--metric", metavar="NAME", help="a metric that all declare (default: the first such one)")


@dataclass(frozen=True)
class ComparedExperiment:
    """One of the experiments."""

    status: documents.Status
    curve: list[float | None]
    """the best value after each trial that finished with one; None where none has kept every limit"""
    compute: float
    """seconds that all its attempts took together"""
    best: documents.Trial | None

    def document(self, trials: int) -> dict[str, Any]:
        """As `--json` shows it; `trials`: how many of each are compared."""
        shown = self.status
        return {
            "handle": shown["handle"],
            "state": shown["state"],
            "finished": finished(shown),
            "best": self.curve[-1] if self.curve else None,
            "best_after": {"trials": trials, "value": self.curve[trials - 1] if trials else None},
            "wall_seconds": between(shown["started_at"], shown["finished_at"]),
            "compute_seconds": self.compute,
            "parameters": dict(self.best["parameters"]) if self.best else {},
        }


def compare(console: Console, args: argparse.Namespace) -> int:
    """One line for each, then their best configurations."""
    if len(args.exp) < 2:
        raise UsageError("compare needs two experiments or more", "orchestune compare sgd-7f3a sgd-91c2")
    statuses = [console.client.experiment(console.experiment(ref)) for ref in args.exp]
    metric = _metric(statuses, args.metric)
    sides = [_side(status, list(console.client.trials(status["id"])), metric) for status in statuses]
    trials = min(len(side.curve) for side in sides)
    documents = [side.document(trials) for side in sides]
    if console.json:
        console.document({"schema": 1, "metric": metric["name"], "experiments": documents})
        return 0
    console.say(*_summary(documents, metric, trials, console.paint, console.columns))
    console.say("", *_configurations(documents, console.paint, console.columns))
    return 0


def _metric(statuses: Sequence[documents.Status], name: str | None) -> documents.Metric:
    common = set.intersection(*({metric["name"] for metric in status["metrics"]} for status in statuses))
    if name is not None and name not in common:
        raise UsageError(f"not all of them declare the metric '{name}'", f"all have {', '.join(sorted(common))}")
    for metric in statuses[0]["metrics"]:
        if metric["name"] == name or (name is None and metric["name"] in common):
            others = sorted(common - {metric["name"]})
            same = [other for status in statuses for other in status["metrics"] if other["name"] == metric["name"]]
            aimed = [other for other in same if other.get("optimized", True)]
            if len({other["goal"] for other in aimed or same}) > 1:
                verb = ("minimized", "maximized") if aimed else ("limited from above", "limited from below")
                hint = f"compare by another one: --metric with one of {', '.join(others)}" if others else ""
                raise UsageError(f"{metric['name']} is {verb[0]} by some of them and {verb[1]} by others", hint)
            return (aimed or same)[0]
    raise UsageError("these experiments have no metric in common", "compare those that measure the same")


def _side(status: documents.Status, trials: Sequence[documents.Trial], metric: documents.Metric) -> ComparedExperiment:
    sign = 1 if metric["goal"] == "minimize" else -1
    done = [trial for trial in trials if trial["state"] == "completed" and metric["name"] in trial["metrics"]]
    done.sort(key=lambda trial: trial["finished_at"] or "")
    declared = [Metric.from_json(each) for each in status["metrics"]]
    curve: list[float | None] = []
    best: documents.Trial | None = None
    least = math.inf
    for trial in done:
        values = {name: measured["value"] for name, measured in trial["metrics"].items()}
        loss = sign * values[metric["name"]]
        if loss < least and feasible(declared, values):
            best, least = trial, loss
        curve.append(None if best is None else sign * least)
    compute = sum(attempt["wall_seconds"] or 0.0 for trial in trials for attempt in trial["attempts"])
    return ComparedExperiment(status, curve, compute, best)


def _summary(
    found: Sequence[Mapping[str, Any]], metric: documents.Metric, trials: int, paint: Paint, columns: int | None
) -> list[str]:
    values = [side["best"] for side in found if side["best"] is not None]
    winner = (min if metric["goal"] == "minimize" else max)(values, default=None)
    rows = []
    for side in found:
        best = measured({"value": side["best"], "stddev": None}, paint) if side["best"] is not None else "-"
        after = side["best_after"]["value"]
        rows.append([
            side["handle"], paint.state(side["state"]), str(side["finished"]),
            paint("1;32", best) if side["best"] == winner else best,
            "-" if after is None else number(after), duration(side["wall_seconds"]), duration(side["compute_seconds"]),
        ])  # fmt: skip
    header = ("EXPERIMENT", "STATE", "TRIALS", metric["name"].upper(), f"AFTER {trials}", "TIME", "COMPUTE")
    return table(header, rows, paint, right=(2, 3, 4, 5, 6), columns=columns)


def _configurations(found: Sequence[Mapping[str, Any]], paint: Paint, columns: int | None) -> list[str]:
    names = list(dict.fromkeys(name for side in found for name in side["parameters"]))
    absent = object()

    def same(name: str) -> bool:
        return len({repr(side["parameters"].get(name, absent)) for side in found}) == 1

    rows = [
        [name, *(number(side["parameters"].get(name)) for side in found)] for name in sorted(names, key=same)
    ]  # what differs comes first
    header = ("BEST HAS", *(side["handle"] for side in found))
    return table(header, rows, paint, right=tuple(range(1, len(header))), columns=columns)
