"""Discover which metrics a program reports: run it once, and let the user choose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from orchestune.cli.develop.configuration import configuration
from orchestune.cli.develop.ephemeral_trial import run_trial
from orchestune.cli.develop.metric_names import goal, likely, ranked
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import answer
from orchestune.cli.terminal.render import duration, number, one_line
from orchestune.cli.terminal.temporary_folder import temporary_folder
from orchestune.config.sections.metrics import unfit
from orchestune.domain.search.parameters import Value, as_written
from orchestune.domain.specification.command_channels import MetricSource
from orchestune.domain.specification.metric_lines import metric_line
from orchestune.errors import UsageError
from orchestune.worker.job import DISCOVER
from orchestune.worker.metrics.scanner import Declared, Scanner, names

PLACEHOLDER_METRIC = "orchestune"
"""placeholder of the metric until it is known"""
_MAX_OUTPUT_CHARS = 8 * 2**20
"""last characters of the output that are searched for metrics"""
_MAX_LINES_CHARS = 4096
"""last characters of the output whose lines are searched for metrics that workers do not parse"""
_WORDS = re.compile(r"\b(?:(?:val(?:idation)?|test|train)[ ](?=[A-Za-z]))?[A-Za-z][\w/-]*", re.IGNORECASE)


@dataclass
class ReportedMetrics:
    """Metrics reported by one run."""

    values: dict[str, list[float]] = field(default_factory=dict)
    sources: dict[str, MetricSource] = field(default_factory=dict)
    """files of metrics that were found in files"""
    problem: str = ""
    seconds: float | None = None
    """duration; None if the user interrupted it"""


def run_once(
    console: Console,
    prepared: PreparedExperiment,
    defaults: Mapping[str, Value],
    options: Iterable[str],
    is_interactive: bool,
) -> ReportedMetrics:
    """Run the command like a trial on this machine, with the defaults that are in the ranges.

    Ctrl-C ends it; if `is_interactive` the output until then counts, since the user confirms the metric. Values named
    like one of the script's `options` are not metrics.
    """
    specification = prepared.specification
    space = specification.space
    usable_defaults = {
        parameter.name: defaults[parameter.name] for parameter in space.parameters if parameter.name in defaults
    }
    parameters = configuration(
        specification,
        [
            f"{name}={as_written(value)}"
            for name, value in usable_defaults.items()
            if not space.by_name[name].problem(value)
        ],
    )
    output, reported, file_metrics = _OutputTail(), ReportedMetrics(), dict[str, dict[str, Any]]()
    here = Console(console.json, console.out, console.err, console.environ, console.started_in, cluster="local")
    with closing(here), temporary_folder("orchestune-init-") as folder:
        target = folder / "metrics.json"
        env = {**specification.env, DISCOVER: str(target)}
        discovering = replace(prepared, specification=replace(specification, env=env))
        try:
            outcome = run_trial(here, discovering, parameters, {}, on_output=output.append)
            reported.problem, reported.seconds = outcome.problem, outcome.seconds
            reported.values = {name: [value] for name, value in outcome.extra.items()}
        except KeyboardInterrupt:
            if not is_interactive:
                raise
        with suppress(FileNotFoundError):  # the command was killed
            file_metrics = json.loads(target.read_text(encoding="utf-8"))
    printed = output.text.encode()
    reported.values |= _printed(printed, names(printed))
    for name, series in file_metrics.items():
        if name not in reported.values:
            reported.values[name] = series["values"]
            reported.sources[name] = MetricSource(series["kind"], series["where"])
    if not any(map(likely, reported.values)):
        _add_unparsed(reported, output.text)
    option_names = {_normalized(name) for name in [*space.by_name, *defaults, *options]}
    reported.values = {
        name: values for name, values in reported.values.items() if _normalized(name) not in option_names
    }
    return reported


class _OutputTail:
    """The end of the output."""

    def __init__(self) -> None:
        self.text = ""

    def append(self, text: str) -> None:
        """Add output."""
        self.text = (self.text + text)[-_MAX_OUTPUT_CHARS:]


def _printed(output: bytes, declared: Sequence[str], expressions: Sequence[str] = ()) -> dict[str, list[float]]:
    """Return the values in the output that a worker would parse if these were metrics."""
    scanner = Scanner(Declared(declared, expressions))
    metrics: dict[str, list[float]] = {}
    for name, value, _, _ in [*scanner.feed(output), *scanner.flush()]:
        if name in declared:
            metrics.setdefault(name, []).append(value)
    return metrics


def _add_unparsed(reported: ReportedMetrics, output: str) -> None:
    """Add metrics in lines that workers only parse by an expression in `collect`, such as rows of a table."""
    for name in dict.fromkeys(match.replace(" ", "_").lower() for match in _WORDS.findall(output[-_MAX_LINES_CHARS:])):
        line = metric_line(name, output[-_MAX_LINES_CHARS:]) if likely(name) and name not in reported.values else None
        if line is not None:
            reported.values |= _printed(output.encode(), [name], [line.expression])
            reported.sources[name] = MetricSource("regex", line.expression)


def _normalized(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rpartition(".")[2].lower())


def table(console: Console, reported: ReportedMetrics) -> list[str]:
    """Format the reported metrics, one line each."""
    lines = [f"{console.paint('31', 'failed')}  {reported.problem}"] if reported.problem else []
    lines.append(
        "reported metrics:" if reported.values else "no metric reported; print a line such as loss=0.5 to report one"
    )
    order = ranked(reported.values)
    width = max((len(one_line(name)) for name in order), default=0)
    for name in order[:12]:
        values = reported.values[name]
        details = f", {len(values)} times" if len(values) > 1 else ""
        details += _source_text(reported.sources.get(name))
        lines.append(
            f"  {one_line(name):{width}}  {console.paint.bold(number(values[-1], 6))}{console.paint.dim(details)}"
        )
    return lines + ([f"  and {len(order) - 12} more"] if len(order) > 12 else [])


def _source_text(source: MetricSource | None) -> str:
    return "" if source is None else ", by a regular expression" if source.kind == "regex" else f", in {source.where}"


def likeliest_metric(reported: ReportedMetrics) -> tuple[str, str]:
    """Return the likeliest metric and its goal, without asking. Raises UsageError if none is likely."""
    order = [name for name in ranked(reported.values) if likely(name)]
    if not order:
        problem = (
            f"none of the reported values ({one_line(', '.join(reported.values))})"
            if reported.values
            else "nothing that was reported"
        )
        raise UsageError(f"{problem} looks like a metric", "name it with --minimize METRIC or --maximize METRIC")
    return order[0], goal(order[0])


def ask_for_metric(console: Console, reported: ReportedMetrics) -> tuple[str, str]:
    """Ask for the metric and its goal."""
    order = [name for name in ranked(reported.values) if name.isprintable()]
    name = ""
    while not name:
        name = answer(
            "which metric should be optimized?" if order else "which metric will it report?", order[0] if order else ""
        )
        problem = unfit(name)
        if problem:
            console.note(problem)
            name = ""
        elif order and name not in order:
            matches = get_close_matches(name, order, 1, 0.5)
            suggestion = f" did you mean {matches[0]}?" if matches else ""
            if answer(f"it did not report {name};{suggestion} use it anyway? [y/N]").lower() not in ("y", "yes"):
                name = ""
    default_goal = goal(name) or "minimize"
    while True:
        reply = answer("minimize or maximize it?", default_goal).lower()
        for word in ("minimize", "maximize"):
            if len(reply) >= 2 and word.startswith(reply):
                return name, word


def remark(goal: str, values: Sequence[float]) -> str:
    """Return a comment about a metric that is reported several times."""
    if len(values) < 2:
        return ""
    return f"reported {len(values)} times; the last value counts, with {{goal: {goal}, take: best}} the best one"


def estimate(seconds: float, budget: int, parallelism: int) -> str:
    """Return a sentence about the expected duration of the experiment."""
    total = duration(seconds * -(-budget // parallelism))
    return f"it took {duration(seconds)}; {budget} trials, {parallelism} at a time, will take about {total}"
