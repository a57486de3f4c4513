"""`importance` and `explain`: show what a search has revealed about its parameters."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.progress import no_best_reason
from orchestune.cli.terminal.render import Paint, one_line, table
from orchestune.domain.search.findings import MIN_TRIALS

if TYPE_CHECKING:
    from orchestune import documents

_BAR_COLUMNS = 20


def add(commands: Commands) -> None:
    """Register both commands."""
    parser = add_command(
        commands,
        "importance",
        importance,
        details="The share of the metric's variance that each parameter explains by itself, by a model (fANOVA).",
        example="orchestune importance sgd-7f3a\norchestune importance sgd-7f3a --metric accuracy",
    )
    _arguments(parser)
    parser = add_command(
        commands,
        "explain",
        explain,
        details="Parameters that matter and their direction, values at bounds, remaining improvement, failures.",
        example="orchestune explain sgd-7f3a",
    )
    _arguments(parser)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--metric", metavar="NAME", help="metric of the experiment (default: the first one)")


def importance(console: Console, args: argparse.Namespace) -> int:
    """Print the importance of each parameter."""
    ref = console.experiment(args.exp)
    importances = console.client.importance(ref, args.metric)
    if console.json:
        console.document({"schema": 1, **importances})
    else:
        console.say(*_shares(importances, console, ref))
    return 0


def explain(console: Console, args: argparse.Namespace) -> int:
    """Print findings about the search, the importances, and findings about each parameter."""
    ref = console.experiment(args.exp)
    explanation = console.client.explain(ref, args.metric)
    if console.json:
        console.document({"schema": 1, **explanation})
        return 0
    general_lines = [
        one_line(finding["message"]) for finding in explanation["findings"] if finding["parameter"] is None
    ]
    names = [finding["name"] for finding in explanation["parameters"]]
    parameter_findings = [finding for finding in explanation["findings"] if finding["parameter"] is not None]
    order = {name: index for index, name in enumerate(names)}
    parameter_findings.sort(key=lambda finding: order.get(finding["parameter"] or "", len(names)))
    console.say(*general_lines, *([""] if general_lines else []), *_shares(explanation, console, ref))
    if parameter_findings:
        console.say("")
    width = max((len(finding["parameter"] or "") for finding in parameter_findings), default=0)
    for finding in parameter_findings:
        name = f"{finding['parameter']:{width}}"
        console.say(f"{console.paint.bold(name)}  {one_line(finding['message'])}")
    return 0


def _shares(importances: documents.Importance, console: Console, ref: str) -> list[str]:
    if not importances["parameters"]:
        return [f"no importances: {_no_importance_reason(importances, console, ref)}"]
    paint = console.paint
    header = ("PARAMETER", "IMPORTANCE", f"FOR {importances['metric'].upper()}, {importances['trials']} TRIALS")
    return table(header, _rows(importances["parameters"], paint), paint, right=(1,), columns=console.columns)


def _no_importance_reason(importances: documents.Importance, console: Console, ref: str) -> str:
    trials = importances["trials"]
    if not trials:
        return no_best_reason(console.client.experiment(ref))
    if trials < MIN_TRIALS:
        amount = "one completed trial is" if trials == 1 else f"{trials} completed trials are"
        return f"{amount} too few (at least {MIN_TRIALS} are needed)"
    return (
        f"the {importances['metric']} of the {trials} completed trials does not vary with the parameters beyond noise"
    )


def _rows(weights: Sequence[documents.Weight], paint: Paint) -> list[list[str]]:
    return [
        [
            weight["name"],
            f"{100 * weight['importance']:.0f} %",
            paint("36", "#" * round(_BAR_COLUMNS * weight["importance"])),
        ]
        for weight in weights
    ]
