"""`importance` and `explain`: what a search shows about its parameters."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.progress import nothing_best
from orchestune.cli.terminal.render import Paint, one_line, table
from orchestune.domain.search.findings import ENOUGH

if TYPE_CHECKING:
    from orchestune import documents

_BAR = 20


def add(commands: Commands) -> None:
    """Add both."""
    parser = add_command(
        commands,
        "importance",
        importance,
        details="How much of the metric changes, by a model of it, where one parameter alone does (fANOVA).",
        example="orchestune importance sgd-7f3a\norchestune importance sgd-7f3a --metric accuracy",
    )
    _arguments(parser)
    parser = add_command(
        commands,
        "explain",
        explain,
        details="Which parameters matter and which way, values at bounds, whether it still gets better, failures.",
        example="orchestune explain sgd-7f3a",
    )
    _arguments(parser)


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--metric", metavar="NAME", help="a declared metric (default: the first one)")


def importance(console: Console, args: argparse.Namespace) -> int:
    """The share of each parameter."""
    ref = console.experiment(args.exp)
    found = console.client.importance(ref, args.metric)
    if console.json:
        console.document({"schema": 1, **found})
    else:
        console.say(*_shares(found, console, ref))
    return 0


def explain(console: Console, args: argparse.Namespace) -> int:
    """The shares, and what else there is to say, first of the search, then of each parameter."""
    ref = console.experiment(args.exp)
    found = console.client.explain(ref, args.metric)
    if console.json:
        console.document({"schema": 1, **found})
        return 0
    whole = [one_line(item["message"]) for item in found["findings"] if item["parameter"] is None]
    names = [item["name"] for item in found["parameters"]]
    said = [item for item in found["findings"] if item["parameter"] is not None]
    order = {name: place for place, name in enumerate(names)}
    said.sort(key=lambda item: order.get(item["parameter"] or "", len(names)))
    console.say(*whole, *([""] if whole else []), *_shares(found, console, ref))
    if said:
        console.say("")
    width = max((len(item["parameter"] or "") for item in said), default=0)
    for item in said:
        name = f"{item['parameter']:{width}}"
        console.say(f"{console.paint.bold(name)}  {one_line(item['message'])}")
    return 0


def _shares(found: documents.Importance, console: Console, ref: str) -> list[str]:
    if not found["parameters"]:
        return [f"nothing can be said of the parameters: {_nothing(found, console, ref)}"]
    paint = console.paint
    header = ("PARAMETER", "IMPORTANCE", f"FOR {found['metric'].upper()}, {found['trials']} TRIALS")
    return table(header, _rows(found["parameters"], paint), paint, right=(1,), columns=console.columns)


def _nothing(found: documents.Importance, console: Console, ref: str) -> str:
    trials = found["trials"]
    if not trials:
        return nothing_best(console.client.experiment(ref))
    if trials < ENOUGH:
        few = "one completed trial is" if trials == 1 else f"{trials} completed trials are"
        return f"{few} too few, {ENOUGH} are needed"
    return f"the {found['metric']} of the {trials} completed trials does not change with them more than by chance"


def _rows(weights: Sequence[documents.Weight], paint: Paint) -> list[list[str]]:
    return [
        [weight["name"], f"{100 * weight['importance']:.0f} %", paint("36", "#" * round(_BAR * weight["importance"]))]
        for weight in weights
    ]
