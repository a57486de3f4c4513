"""Which metrics a program reports: it is run once, and whoever sits there chooses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from orchestune.cli.develop import metric_files
from orchestune.cli.develop.configuration import configuration
from orchestune.cli.develop.local_trial import try_one
from orchestune.cli.develop.metric_names import goal, likely, ranked
from orchestune.cli.experiments.prepare import PreparedExperiment
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import answer
from orchestune.cli.terminal.render import duration, number, one_line
from orchestune.config.sections.metrics import unfit
from orchestune.domain.search.parameters import Value, as_written
from orchestune.domain.specification.command_channels import MetricSource
from orchestune.errors import UsageError
from orchestune.worker.metrics.scanner import Declared, Scanner, names

UNKNOWN = "orchestune"
"""stands for the metric while it is not known"""
_KEPT = 8 * 2**20
"""bytes of output that are looked through, the last ones"""


@dataclass
class ReportedMetrics:
    """What one run reported."""

    values: dict[str, list[float]] = field(default_factory=dict)
    sources: dict[str, MetricSource] = field(default_factory=dict)
    """for those that stand in a file: in which"""
    problem: str = ""
    seconds: float | None = None
    """None where it was ended by hand"""


def run_once(
    console: Console,
    prepared: PreparedExperiment,
    defaults: Mapping[str, Value],
    options: Iterable[str],
    attended: bool,
) -> ReportedMetrics:
    """Run the command as a trial would be run, with those values as far as they are in their ranges.

    Ctrl-C ends it, and what it said until then counts where it is `attended`: somebody will choose. What is called as
    one of its `options` is no metric.
    """
    space = prepared.specification.space
    fitting = {one.name: defaults[one.name] for one in space.parameters if one.name in defaults}
    parameters = configuration(
        prepared.specification,
        [f"{name}={as_written(value)}" for name, value in fitting.items() if not space.by_name[name].problem(value)],
    )
    output = bytearray()
    seen, left, began = ReportedMetrics(), dict[str, tuple[MetricSource, list[float]]](), time.time() - 0.1

    def hear(data: bytes) -> None:
        output.extend(data)
        del output[:-_KEPT]

    try:
        outcome = try_one(
            console, prepared, parameters, {}, hear, lambda view: left.update(metric_files.found(view, began))
        )
        seen.problem, seen.seconds = outcome.problem, outcome.seconds
        printed = _printed(bytes(output), ())
        seen.values = {name: [value] for name, value in outcome.extra.items() if name not in printed}
    except KeyboardInterrupt:
        if not attended:
            raise
    seen.values |= _printed(bytes(output), names(bytes(output)))
    for name, (source, values) in left.items():
        if name not in seen.values:
            seen.values[name], seen.sources[name] = values, source
    own = {_plain(name) for name in [*space.by_name, *defaults, *options]}
    seen.values = {name: values for name, values in seen.values.items() if _plain(name) not in own}
    return seen


def _printed(output: bytes, declared: Sequence[str]) -> dict[str, list[float]]:
    """What a worker would read in it, if these were metrics."""
    scanner = Scanner(Declared(declared))
    found: dict[str, list[float]] = {}
    for name, value, _, _ in [*scanner.feed(output), *scanner.flush()]:
        found.setdefault(name, []).append(value)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rpartition(".")[2].lower())


def table(console: Console, seen: ReportedMetrics) -> list[str]:
    """What was seen, a line each."""
    lines = [f"{console.paint('31', 'failed')}  {seen.problem}"] if seen.problem else []
    lines.append(
        "it reported" if seen.values else "it reported no metric; a line such as loss=0.5 on its output is one"
    )
    order = ranked(seen.values)
    width = max((len(one_line(name)) for name in order), default=0)
    for name in order[:12]:
        values = seen.values[name]
        times = f", {len(values)} times" if len(values) > 1 else ""
        times += f", in {seen.sources[name].where}" if name in seen.sources else ""
        lines.append(
            f"  {one_line(name):{width}}  {console.paint.bold(number(values[-1], 6))}{console.paint.dim(times)}"
        )
    return lines + ([f"  and {len(order) - 12} more"] if len(order) > 12 else [])


def chosen(seen: ReportedMetrics) -> tuple[str, str]:
    """The likeliest metric and its goal, with nobody to ask. UsageError where none suggests itself."""
    order = [name for name in ranked(seen.values) if likely(name)]
    if not order:
        what = (
            f"of what it reported ({one_line(', '.join(seen.values))}) no name"
            if seen.values
            else "it reported nothing that"
        )
        raise UsageError(f"{what} looks like a metric", "name it with --minimize METRIC or --maximize METRIC")
    return order[0], goal(order[0])


def asked(console: Console, seen: ReportedMetrics) -> tuple[str, str]:
    """The metric and the goal that are typed."""
    order = [name for name in ranked(seen.values) if name.isprintable()]
    name = ""
    while not name:
        name = answer(
            "which one is to be optimized?" if order else "which metric will it report?", order[0] if order else ""
        )
        wrong = unfit(name)
        if wrong:
            console.note(wrong)
            name = ""
        elif order and name not in order:
            near = get_close_matches(name, order, 1, 0.5)
            meant = f" did you mean {near[0]}?" if near else ""
            if answer(f"it did not report {name};{meant} take it all the same? [y/N]").lower() not in ("y", "yes"):
                name = ""
    proposed = goal(name) or "minimize"
    while True:
        said = answer("minimize or maximize it?", proposed).lower()
        for word in ("minimize", "maximize"):
            if len(said) >= 2 and word.startswith(said):
                return name, word


def remark(goal: str, values: Sequence[float]) -> str:
    """What is worth knowing of how often it is reported."""
    if len(values) < 2:
        return ""
    return f"reported {len(values)} times; the last value counts, with {{goal: {goal}, take: best}} the best one"


def estimate(seconds: float, budget: int, parallelism: int) -> str:
    """How long the whole will take."""
    whole = duration(seconds * -(-budget // parallelism))
    return f"it took {duration(seconds)}; {budget} trials, {parallelism} at a time, will take about {whole}"
