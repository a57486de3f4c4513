"""Text of the plan that `run` prints before it starts."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from orchestune.cli.terminal.progress import exact
from orchestune.cli.terminal.render import Paint, duration, one_line, size
from orchestune.client.local.launch_context import in_utf8
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.specification.command_channels import MetricSource
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.specification.notify import Hook, is_address, public_part
from orchestune.domain.words import brief_list, plural
from orchestune.worker.command import placeholders, split, variable

_INDENT = 13
_MIN_TEXT_COLUMNS = 24
"""minimum columns for readable text"""
_MAX_LISTED_PARAMETERS = 12
"""parameters that are listed one by one"""
_MAX_NAMED_PARAMETERS = 6
"""parameters whose names are in the short plan"""


def plan_lines(
    specification: Specification,
    folder: Path,
    notes: Sequence[str],
    bundle: tuple[int, int] | None,
    paint: Paint,
    where: Sequence[tuple[str, str]] = (),
    columns: int | None = None,
) -> list[str]:
    """Return the lines of the plan.

    `folder`: that of the experiment file. `bundle`: number of files and their bytes. `where`: lines about the
    destination. Text wider than `columns` is wrapped, except the command, which users may copy.
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
        ("passed as", _parameter_passing(specification)),
        ("metrics", _metrics(specification.metrics, specification.collect)),
    ]
    if bundle is not None:
        lines.append(("code", f"{plural(bundle[0], 'file')}, {size(bundle[1])}"))
    ends = _ends(specification)
    if ends:
        lines.append(("stops", ends))
    pruner = specification.early_stopping
    if pruner is not None:
        lines.append(("prunes", f"trials by {pruner.type} on {pruner.metric or specification.objective.name}"))
    if specification.preload:
        lines.append(("preloads", _preloads(specification)))
    lines += [*_secrets_and_addresses(specification, folder), *(("note", note) for note in notes)]
    return _aligned(lines, paint, columns)


def _aligned(lines: Sequence[tuple[str, str]], paint: Paint, columns: int | None) -> list[str]:
    output = []
    for name, text in lines:
        first, *more = [text] if name == "command" else _folded(text, columns)
        output += [f"  {paint.dim(f'{name:10}')} {first}", *(f"{' ' * _INDENT}{line}" for line in more)]
    return output


def short_plan_lines(
    specification: Specification,
    folder: Path,
    notes: Sequence[str],
    paint: Paint,
    where: str,
    columns: int | None = None,
) -> list[str]:
    """Return the plan of an experiment that was run before: one line, the sources of its secrets, and the notes.

    The author of the experiment file may have changed these sources since.
    """
    names = brief_list([parameter.name for parameter in specification.space.parameters], _MAX_NAMED_PARAMETERS)
    trials = f"{plural(specification.budget, 'trial')} of {names}" if names else plural(specification.budget, "trial")
    goals = ", ".join(f"{metric.name} ({metric.goal})" for metric in specification.metrics if metric.optimized)
    plan = f"{trials}; {_at_a_time(specification)}; engine {specification.engine}; {goals}; {where} (all: --verbose)"
    lines = [("plan", one_line(plan)), *_secrets_and_addresses(specification, folder)]
    return _aligned([*lines, *(("note", note) for note in notes)], paint, columns)


def experiment_line(handle: str, paint: Paint) -> str:
    """Return the line below the plan that names the experiment once it exists."""
    return "".join(_aligned([("experiment", paint.bold(handle))], paint, None))


def _folded(text: str, columns: int | None) -> list[str]:
    if columns is None or len(text) + _INDENT <= columns:
        return [text]
    room = max(columns - _INDENT, _MIN_TEXT_COLUMNS)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _secrets_and_addresses(specification: Specification, folder: Path) -> list[tuple[str, str]]:
    """Return lines about all secrets that are read on this machine, and about the addresses that get messages.

    Another person may have written the experiment file.
    """
    secrets = [f"{secret.name} from {source_in_words(secret.source, folder)}" for secret in specification.secrets]
    lines = [("" if index else "secrets", one_line(text)) for index, text in enumerate(secrets)]
    hooks = [_hook(hook, folder) for hook in specification.notify]
    lines += [("" if index else "notifies", one_line(text)) for index, text in enumerate(hooks)]
    if (mlflow := specification.mlflow) is not None:
        token = f", with the token of {source_in_words(mlflow.token, folder)}" if mlflow.token else ""
        lines.append(("recorded", one_line(f"in MLflow, {source_in_words(mlflow.uri, folder)}{token}")))
    return lines


def source_in_words(source: str, folder: Path) -> str:
    """Return a URL without its secret parts, or `env:NAME` or `file:PATH`, with the file to which a link leads."""
    if is_address(source):
        return public_part(source)
    kind, _, place = source.partition(":")
    path = os.path.abspath(folder / os.path.expanduser(place))
    if kind != "file" or (real := os.path.realpath(path)) == path:
        return source
    return f"{source} ({in_utf8(Path(real))})"


def _hook(hook: Hook, folder: Path) -> str:
    conditions = list(hook.on)
    conditions += [f"better than {hook.better:g}"] if hook.better is not None else []
    conditions += [f"stuck for {duration(hook.stuck)}"] if hook.stuck is not None else []
    key = f", signed with the key of {source_in_words(hook.secret, folder)}" if hook.secret else ""
    return f"{source_in_words(hook.url, folder)} when {' or '.join(conditions)}{key}"


def _preloads(specification: Specification) -> str:
    from orchestune.worker.processes.preload import (
        program,  # process control, which few commands need
    )

    run = specification.run
    words = (split(run) or ["sh", "-c", run]) if isinstance(run, str) else run
    module = program(words)
    return (
        f"nothing: {module}" if isinstance(module, str) else f"{', '.join(specification.preload)}, once for each worker"
    )


def _at_a_time(specification: Specification) -> str:
    needs = specification.resources
    parts = [f"{needs.cpu:g} cpu"] if needs.cpu else []
    parts += [size(needs.memory)] if needs.memory else []
    parts += [needs.gpu_text] if needs.gpu else []
    each = f" with {', '.join(parts)} each" if parts else ""
    folds = specification.folds.count
    return f"{specification.parallelism}{f' of their {folds} folds' if folds > 1 else ''} at a time{each}"


def _command(run: str | tuple[str, ...]) -> str:
    if isinstance(run, str):
        return run
    return " ".join(shlex.quote(word) if re.search(r"\s", word) or not word else word for word in run)


def _parameters(specification: Specification) -> list[tuple[str, str]]:
    parameters = specification.space.parameters
    names = max((len(parameter.name) for parameter in parameters[:_MAX_LISTED_PARAMETERS]), default=0)
    lines = [f"{parameter.name:{names}}  {describe(parameter)}" for parameter in parameters[:_MAX_LISTED_PARAMETERS]]
    if len(parameters) > _MAX_LISTED_PARAMETERS:
        lines.append(f"and {len(parameters) - _MAX_LISTED_PARAMETERS} more")
    return [("" if index else "parameters", one_line(line)) for index, line in enumerate(lines)]


def describe(parameter: Parameter) -> str:
    """Describe a range or choices, with its condition: `1e-06..0.1 log`, `l1, l2`."""
    if parameter.numeric:
        low, high = exact(parameter.low), exact(parameter.high)
        text = f"{low}..{high}"
        text += " log" if parameter.log else ""
        text += f" step {parameter.step:g}" if parameter.step else ""
        text += " (whole)" if parameter.kind == "int" else ""
    else:
        text = brief_list([exact(choice) for choice in parameter.choices])
    conditions = [f"{name} is {' or '.join(map(exact, values))}" for name, values in parameter.when]
    return f"{text}, when {' and '.join(conditions)}" if conditions else text


def _parameter_passing(specification: Specification) -> str:
    """Describe how the command receives its parameters."""
    names = [parameter.name for parameter in specification.space.parameters]
    used = placeholders(specification.run)
    if not names:
        return "no parameters"
    first = names[0]
    if specification.constants and not used:
        return f"constants of {specification.constants.path}, in each trial's copy of it"
    if specification.config and specification.config.path and not used:
        text = f"values of {specification.config.path}, in each trial's copy of it"
    elif "config" in used and specification.config:
        text = f"a copy of {specification.config.name} as {{config}}"
    elif "args" in used:
        text = f"arguments such as --{first}=VALUE"
    elif "hydra" in used:
        text = f"arguments such as {first}=VALUE"
    elif used:
        text = "values of the command's placeholders"
    elif specification.stdin:
        text = "JSON on standard input"
    else:
        return f"environment variables such as {variable(first)}, and $ORCHESTUNE_PARAMS (a JSON file)"
    return f"{text}; also {variable(first)} and $ORCHESTUNE_PARAMS (a JSON file)"


def _metrics(metrics: Sequence[Metric], collect: Sequence[MetricSource]) -> str:
    descriptions = []
    for metric in metrics:
        qualifiers: list[str] = [metric.goal] if metric.optimized else []
        qualifiers += [f"threshold {metric.threshold:g}"] if metric.threshold is not None else []
        qualifiers += [str(metric.limit)] if metric.limit is not None else []
        qualifiers += [metric.take] if metric.take != "last" else []
        descriptions.append(f"{metric.name} ({', '.join(qualifiers)})")
    line = f"a line `{metrics[0].name}=0.5` on its output"
    sources = ["matches of the `regex`" if source.kind == "regex" else source.where for source in collect]
    reporting = f"in {', '.join(dict.fromkeys(sources))}, or {line}" if sources else f"for example {line}"
    return f"{', '.join(descriptions)}; {one_line(reporting)}"


def _ends(specification: Specification) -> str:
    stop = specification.stop
    verb = "brings" if stop.patience == 1 else "bring"
    parts = [f"{specification.objective.name} reaches {stop.target:g}"] if stop.target is not None else []
    parts += [f"{duration(stop.time)} have passed"] if stop.time is not None else []
    parts += [f"{plural(stop.patience, 'trial')} {verb} nothing better"] if stop.patience is not None else []
    parts += [f"{plural(stop.max_failures, 'trial')} failed"] if stop.max_failures is not None else []
    if stop.futile is not None:
        limit, after = stop.futile, plural(stop.futile.after, "trial")
        parts.append(f"{specification.objective.name} is still {limit.side} {limit.limit:g} after {after}")
    return f"early when {' or '.join(parts)}" if parts else ""
