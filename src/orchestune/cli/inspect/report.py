"""`report`: write an experiment as one HTML file, for people without access to the server."""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.inspect.output_file import output_file
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment

if TYPE_CHECKING:
    from orchestune import documents
    from orchestune.cli.inspect.report_page import ReportDocuments
    from orchestune.client.api import Client

_MAX_METRICS = 4
_MAX_CONTOUR_PARAMETERS = 6
"""the most important ones; a pair of them is one request"""
_MAX_SHOWN_TRIALS, _MAX_CURVES, _MAX_SPANS = 3000, 60, 1500
"""as on the experiment's page"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "report",
        report,
        details="The file requests nothing, so it can be mailed or published as it is.",
        example="orchestune report sgd-7f3a -o report.html",
        json=False,
    )
    add_experiment(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="file to write; - for standard output (default: HANDLE.html)"
    )


def report(console: Console, args: argparse.Namespace) -> int:
    """Write the report; of a running experiment, as it is now."""
    from orchestune.cli.inspect.report_page import page  # imports the pages of the server

    contents = gather(console.client, console.experiment(args.exp))
    handle = contents.status["handle"]
    name = args.output or f"{handle}.html"
    with output_file(None if name == "-" else Path(name), "name a file in it") as file:
        file.write(page(contents))
    if name != "-":
        console.note(f"{handle}: written to {name}")
    return 0


def gather(client: Client, ref: str) -> ReportDocuments:
    """Request the documents that a report shows."""
    from orchestune.cli.inspect.report_page import ReportDocuments  # as above

    status = client.experiment(ref)
    ref = status["id"]
    metrics = [metric["name"] for metric in status["metrics"][:_MAX_METRICS]]
    explanations = {metric: client.explain(ref, metric) for metric in metrics}
    specification = client.specification(ref)["specification"]
    names = [parameter["name"] for parameter in specification["parameters"]]
    has_several_objectives = sum(metric["optimized"] for metric in status["metrics"]) > 1
    return ReportDocuments(
        status=status,
        specification=specification,
        overview=client.overview(ref),
        timeline=client.timeline(ref, _MAX_SPANS),
        hypervolume=client.hypervolume(ref) if has_several_objectives else None,
        explanations=explanations,
        columns={metric: client.columns(ref, _MAX_SHOWN_TRIALS, metric) for metric in metrics},
        curves={metric: client.curves(ref, metric, _MAX_CURVES) for metric in metrics},
        contours={
            metric: [
                client.contour(ref, x, y, metric)
                for x, y in combinations(_most_important(names, explanation["parameters"]), 2)
            ]
            for metric, explanation in explanations.items()
        },
        trials=list(client.trials(ref)),
    )


def _most_important(names: list[str], weights: list[documents.Weight]) -> list[str]:
    """Return the parameters whose contours a report has."""
    importance = {weight["name"]: weight["importance"] for weight in weights}
    return sorted(names, key=lambda name: -importance.get(name, 0.0))[:_MAX_CONTOUR_PARAMETERS]
