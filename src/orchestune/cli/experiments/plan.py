"""What `run` is about to do, in a few lines."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence

from orchestune.cli.terminal.progress import exact
from orchestune.cli.terminal.render import Paint, duration, one_line, size
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.specification.command_channels import MetricSource
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.specification.notify import Hook, shown
from orchestune.domain.words import plural, some
from orchestune.worker.command import placeholders, split, variable

_INDENT = 13
_LEAST = 24
"""columns in which text can be read"""
_PARAMETERS = 12
"""parameters that are listed one by one"""


def plan_lines(
    specification: Specification,
    notes: Sequence[str],
    bundle: tuple[int, int] | None,
    paint: Paint,
    where: Sequence[tuple[str, str]] = (),
    columns: int | None = None,
) -> list[str]:
    """The plan. `bundle` is the number of its files and their bytes, `where` what is said of the place; what is longer
    than `columns`, where given, goes on below, but for the command, which may be copied.
    """
    lines = [
        *where,
        (
            "budget",
            f"{plural(specification.budget, 'trial')}, {_at_a_time(specification)}, engine {specification.engine}",
        ),
        *_parameters(specification),
        *(("" if index else "such that", one_line(text)) for index, text in enumerate(specification.space.texts())),
        ("command", one_line(_command(specification.run))),
        ("gets", _arrival(specification)),
        ("looks for", _metrics(specification.metrics, specification.collect)),
    ]
    if bundle is not None:
        lines.append(("code", f"{plural(bundle[0], 'file')}, {size(bundle[1])}"))
    ends = _ends(specification)
    if ends:
        lines.append(("ends", ends))
    early = specification.early_stopping
    if early is not None:
        lines.append(("prunes", f"trials by {early.type} on {early.metric or specification.objective.name}"))
    if specification.preload:
        lines.append(("preloads", _preloads(specification)))
    lines += [("" if index else "tells", _hook(hook)) for index, hook in enumerate(specification.notify)]
    if specification.mlflow is not None:
        lines.append(("recorded", f"in MLflow, {shown(specification.mlflow.uri)}"))
    lines += [("note", note) for note in notes]
    said = []
    for name, text in lines:
        first, *more = [text] if name == "command" else _folded(text, columns)
        said += [f"  {paint.dim(f'{name:10}')} {first}", *(f"{' ' * _INDENT}{line}" for line in more)]
    return said


def _folded(text: str, columns: int | None) -> list[str]:
    if columns is None or len(text) + _INDENT <= columns:
        return [text]
    room = max(columns - _INDENT, _LEAST)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _hook(hook: Hook) -> str:
    moments = list(hook.on)
    moments += [f"better than {hook.better:g}"] if hook.better is not None else []
    moments += [f"stuck for {duration(hook.stuck)}"] if hook.stuck is not None else []
    return f"{shown(hook.url)} when {' or '.join(moments)}"


def _preloads(specification: Specification) -> str:
    from orchestune.worker.processes.preload import (
        program,  # with what it takes to start processes, which few commands need
    )

    run = specification.run
    words = (split(run) or ["sh", "-c", run]) if isinstance(run, str) else run
    found = program(words)
    return (
        f"nothing: {found}" if isinstance(found, str) else f"{', '.join(specification.preload)}, once for each worker"
    )


def _at_a_time(specification: Specification) -> str:
    needs = specification.resources
    parts = [f"{needs.cpu:g} cpu"] if needs.cpu else []
    parts += [size(needs.memory)] if needs.memory else []
    parts += [needs.cards] if needs.gpu else []
    each = f" with {', '.join(parts)} each" if parts else ""
    folds = specification.folds.count
    return f"{specification.parallelism}{f' of their {folds} folds' if folds > 1 else ''} at a time{each}"


def _command(run: str | tuple[str, ...]) -> str:
    if isinstance(run, str):
        return run
    return " ".join(shlex.quote(word) if re.search(r"\s", word) or not word else word for word in run)


def _parameters(specification: Specification) -> list[tuple[str, str]]:
    parameters = specification.space.parameters
    names = max((len(parameter.name) for parameter in parameters[:_PARAMETERS]), default=0)
    lines = [f"{parameter.name:{names}}  {describe(parameter)}" for parameter in parameters[:_PARAMETERS]]
    if len(parameters) > _PARAMETERS:
        lines.append(f"and {len(parameters) - _PARAMETERS} more")
    return [("" if index else "parameters", one_line(line)) for index, line in enumerate(lines)]


def describe(parameter: Parameter) -> str:
    """`1e-06..0.1 log`, `l1, l2`; with its condition."""
    if parameter.numeric:
        low, high = exact(parameter.low), exact(parameter.high)
        text = f"{low}..{high}"
        text += " log" if parameter.log else ""
        text += f" step {parameter.step:g}" if parameter.step else ""
        text += " (whole)" if parameter.kind == "int" else ""
    else:
        text = some([exact(choice) for choice in parameter.choices])
    conditions = [f"{name} is {' or '.join(map(exact, values))}" for name, values in parameter.when]
    return f"{text}, when {' and '.join(conditions)}" if conditions else text


def _arrival(specification: Specification) -> str:
    """How the parameters reach the command."""
    names = [parameter.name for parameter in specification.space.parameters]
    used = placeholders(specification.run)
    if not names:
        return "no parameters"
    first = names[0]
    if "config" in used and specification.config:
        text = f"a copy of {specification.config.name} as {{config}}"
    elif "args" in used:
        text = f"arguments such as --{first}=VALUE"
    elif "hydra" in used:
        text = f"arguments such as {first}=VALUE"
    elif used:
        text = "values in the places of the command"
    elif specification.stdin:
        text = "JSON on standard input"
    else:
        return f"environment variables such as {variable(first)}, and $ORCHESTUNE_PARAMS (a JSON file)"
    return f"{text}; also {variable(first)} and $ORCHESTUNE_PARAMS (a JSON file)"


def _metrics(metrics: Sequence[Metric], collect: Sequence[MetricSource]) -> str:
    said = []
    for metric in metrics:
        words: list[str] = [metric.goal] if metric.optimized else []
        words += [f"good enough at {metric.threshold:g}"] if metric.threshold is not None else []
        words += [str(metric.limit)] if metric.limit is not None else []
        words += [metric.take] if metric.take != "last" else []
        said.append(f"{metric.name} ({', '.join(words)})")
    line = f"a line `{metrics[0].name}=0.5` on its output"
    places = ["what the `regex` finds" if source.kind == "regex" else source.where for source in collect]
    found = f"in {', '.join(places)}, or {line}" if places else f"for example {line}"
    return f"{', '.join(said)}; {one_line(found)}"


def _ends(specification: Specification) -> str:
    stop = specification.stop
    bring = "brings" if stop.patience == 1 else "bring"
    parts = [f"{specification.objective.name} reaches {stop.target:g}"] if stop.target is not None else []
    parts += [f"{duration(stop.time)} have passed"] if stop.time is not None else []
    parts += [f"{plural(stop.patience, 'trial')} {bring} nothing better"] if stop.patience is not None else []
    parts += [f"{plural(stop.max_failures, 'trial')} failed"] if stop.max_failures is not None else []
    if stop.futile is not None:
        limit, after = stop.futile, plural(stop.futile.after, "trial")
        parts.append(f"{specification.objective.name} is still {limit.side} {limit.limit:g} after {after}")
    return f"early when {' or '.join(parts)}" if parts else ""
