"""From values that are right each by itself to an experiment that is right as a whole."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.config.document.kinds import MOST_TRIALS
from orchestune.config.document.report import Field
from orchestune.config.keys import CONFIGURATION
from orchestune.config.sections.engine import EngineSettings
from orchestune.config.sections.keep import CheckpointSettings
from orchestune.config.sections.placement import Build, build, placement
from orchestune.config.sections.run import check_placeholders
from orchestune.config.sections.small import Retry
from orchestune.config.sections.template import config_file
from orchestune.config.sections.warm_start import warm_starts
from orchestune.domain.search.engines import LEARNERS
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Space, key
from orchestune.domain.search.warm_start import WarmStarts
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.command_channels import ConfigTemplate
from orchestune.domain.specification.experiment import Specification, StopRules
from orchestune.domain.specification.folds import Folds
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.words import did_you_mean, some
from orchestune.errors import BadInput
from orchestune.worker.command import KNOWN, placeholders

_Values = Mapping[str, Any]
_AS_THEY_ARE = (
    "folds", "resources", "preload", "env", "secrets", "timeout", "grace", "stop", "early_stopping", "keep", "seed",
    "priority", "labels", "notify", "mlflow", "collect",
)  # fmt: skip
"""sections that become what a specification calls by the same name, which has a default for those that are left out"""


def assemble(root: Field, values: _Values, folder: Path) -> tuple[Specification, CodeSettings, Build, WarmStarts]:
    """The specification, the code's section, how the image is made, and what the search begins with.

    BadInput with everything wrong, what was reported before included. `folder` is that of the file; it names the
    experiment where the file does not, and a configuration file of it and its files of results are read.
    """
    report = root.report
    space = _space(root, values)
    _check_names(root, values)
    engine: EngineSettings = values.get("engine") or EngineSettings("auto")
    try_first = _try_first(root, values, space)
    repeats = len(try_first) - len(set(map(key, try_first)))
    budget = _budget(root, values, space, engine, repeats)
    _check_metrics(root, values)
    image = build(root, values)
    config = _config(root, values, folder)
    sources, metrics = values.get("warm_start") or (), values.get("metrics") or ()
    warm = warm_starts(root.find("warm_start"), sources, folder, space, metrics, engine.name in LEARNERS)
    report.raise_if_bad()
    assert space is not None and budget is not None
    if len(try_first) > budget:
        more = f"try_first: {len(try_first)} configurations are more than the budget of {budget}"
        report.notes.append(f"{more}; the others are tried when it is extended")
    checkpoint: CheckpointSettings = values.get("checkpoint") or CheckpointSettings(None)
    retry: Retry = values.get("retry") or Retry()
    specification = Specification(
        name=values.get("name") or _called(folder),
        run=values["run"],
        space=space,
        metrics=values["metrics"],
        budget=budget,
        parallelism=_parallelism(root, values, budget),
        retries=retry.attempts,
        oom_retries=retry.oom,
        memory_factor=retry.memory_factor,
        try_first=try_first,
        checkpoint_every=checkpoint.every,
        engine=engine.name,
        engine_options=engine.options,
        placement=placement(values),
        config=config,
        stdin="json" if values.get("stdin") == "json" else "",
        **{name: values[name] for name in _AS_THEY_ARE if values.get(name)},
    )
    return specification, values.get("code") or CodeSettings(), image, warm


def _called(folder: Path) -> str:
    """The folder's own name, also where it was named by `..`."""
    name = os.path.basename(os.path.abspath(folder))
    return os.fsencode(name).decode("utf-8", "backslashreplace") or "experiment"


def _config(root: Field, values: _Values, folder: Path) -> ConfigTemplate | None:
    path = values.get("config")
    if not path:
        return None
    names = [parameter.name for parameter in values.get("parameters") or ()]
    used = placeholders(values.get("run") or "")
    if "config" in names:
        root.find("parameters", "config").wrong("{config} in `run` stands for the file", "call the parameter otherwise")
        return None
    if "config" not in used:
        root.report.notes.append("config: the command has no {config}; the copy's path is $ORCHESTUNE_CONFIG alone")
    return config_file(root.find("config"), path, folder, names, names if set(used) & set(KNOWN) else used)


def _space(root: Field, values: _Values) -> Space | None:
    """The space of the parameters that could be read; None where one of them is wrong."""
    report, before = root.report, len(root.report.found)
    parameters: tuple[Parameter, ...] = values.get("parameters") or ()
    named = root.find("parameters").entries()
    read = {parameter.name for parameter in parameters}
    known: list[Parameter] = []
    for parameter in parameters:
        for parent, _ in parameter.when:
            if parent not in named:
                place = root.find("parameters", parameter.name, "when").entries()[parent][0]
                report.add(place.place, f"parameters.{parameter.name}.when", f"'{parent}' is no parameter",
                           did_you_mean(parent, set(named) - {parameter.name}))  # fmt: skip
        known.append(replace(parameter, when=tuple(item for item in parameter.when if item[0] in read)))
    for problem in Space(tuple(known)).problems():
        root.find("parameters", problem.key).wrong(problem.message, problem.hint)
    if len(report.found) == before:
        _check_conditions(root, parameters)
    complete = len(read) == len(named) and len(report.found) == before and bool(read)
    if not complete:
        return None
    space = Space.of(parameters)
    for problem in space.never_active():
        root.find("parameters", problem.key, "when").wrong(problem.message, problem.hint)
    return _constrained(root, space, values.get("constraints") or ())


def _check_conditions(root: Field, parameters: Sequence[Parameter]) -> None:
    """A number is drawn between bounds, and may stop at one, but is no other number that somebody could name."""
    endless = {parameter.name: parameter for parameter in parameters if math.isinf(parameter.count())}
    for parameter in parameters:
        for name, values in parameter.when:
            found = root.find("parameters", parameter.name, "when", name)
            if (parent := endless.get(name)) is None:
                continue
            for at, value in zip(found.items() or [found], values, strict=False):
                if value not in (parent.low, parent.high):
                    message = f"{name} is any number of {parent.low:g}..{parent.high:g}, hence never exactly {value!r}"
                    at.wrong(message, f"give {name} a step, list its values, or name one of its bounds")


def _constrained(root: Field, space: Space, texts: Sequence[str]) -> Space | None:
    found = root.find("constraints")
    places = found.items() or [found]
    try:
        constrained = space.constrained(texts)
    except BadInput as exc:
        keys = {f"constraints[{index}]": place for index, place in enumerate(places)}
        for problem in exc.problems:
            keys.get(problem.key, found).wrong(problem.message, problem.hint)
        return None
    for place, constraint in zip(places, constrained.constraints, strict=False):
        for name, text in sorted(constraint.compared):
            choices = [choice for choice in space.by_name[name].choices if isinstance(choice, str)]
            if text not in choices:
                hint = did_you_mean(text, choices) or (f"its values are {some(choices)}" if choices else "")
                place.wrong(f"`{constraint.text[:80]}`: {name} is never '{text}'", hint)
    return constrained


def _check_names(root: Field, values: _Values) -> None:
    """Names of one section that another one refers to, or must not repeat."""
    parameters = root.find("parameters").entries()
    if values.get("run") is not None and parameters:
        check_placeholders(root.find("run"), parameters, bool(values.get("config")))
    variables = values.get("env") or {}
    for secret in values.get("secrets") or ():
        if secret.name in variables:
            root.find("secrets").wrong(f"{secret.name} stands under `env` too", "keep one of the two")


def _check_metrics(root: Field, values: _Values) -> None:
    """What other sections say of the metrics."""
    metrics: tuple[Metric, ...] = values.get("metrics") or ()
    stop, early = values.get("stop") or StopRules(), values.get("early_stopping")
    if metrics and stop.futile is not None:
        side = "below" if metrics[0].goal == "maximize" else "above"
        if stop.futile.side != side:
            message = f"{metrics[0].name} is to be {metrics[0].goal}d, so a search is futile while it is {side} a limit"
            root.find("stop", "futile").wrong(message, f"write `{side}`")
    if metrics and early is not None and early.metric not in (None, *(metric.name for metric in metrics)):
        names = [metric.name for metric in metrics]
        hint = did_you_mean(early.metric, names) or f"declared are {', '.join(names)}"
        root.find("early_stopping", "metric").wrong(f"'{early.metric}' is no metric", hint)


def _budget(root: Field, values: _Values, space: Space | None, engine: EngineSettings, repeats: int) -> int | None:
    """`repeats`: how often `try_first` has what it has already, which a grid is run beside."""
    budget: int | None = values.get("budget")
    if "budget" not in values:
        default = _default_budget(root, space, engine)
        return None if default is None else default + repeats
    if budget is None or space is None:
        return budget
    size = _grid_size(root, space) if engine.name == "grid" else _quick_size(space)
    most = size + repeats if engine.name == "grid" else size
    if budget <= most:
        return budget
    more = f"budget: {budget} is more than the {f'{size:g} configurations' if size > 1 else 'one configuration'} of the"
    if engine.name == "grid":
        beside = f" and what try_first repeats ({repeats})" if repeats else ""
        root.report.notes.append(f"{more} grid{beside}; {most:g} is used")
        return int(most)
    root.report.notes.append(f"{more} space; the experiment ends when all were tried")
    return budget


def _default_budget(root: Field, space: Space | None, engine: EngineSettings) -> int | None:
    if "budget" in root.report.meant:
        return None
    if engine.name != "grid":
        hint = "say how many trials to run, for example budget: 40"
        root.report.add(root.node.place, "budget", "is missing", hint)
    elif space is not None and not _endless(space) and space.size() > MOST_TRIALS:
        message = "is missing, and the grid is too large for its size to be the default"
        root.report.add(root.node.place, "budget", message)
    elif space is not None:
        size = _grid_size(root, space)
        return None if math.isinf(size) else int(size)
    return None


def _endless(space: Space) -> list[Parameter]:
    return [parameter for parameter in space.parameters if math.isinf(parameter.count())]


def _grid_size(root: Field, space: Space) -> float:
    for parameter in _endless(space):
        root.find("parameters", parameter.name).wrong(
            "the grid engine needs finitely many values", "give it a step, or list the values"
        )
    return space.size()


def _quick_size(space: Space) -> float:
    """The size where it takes no time to count."""
    return space.size() if math.prod(parameter.count() for parameter in space.parameters) <= 1000 else math.inf


def _parallelism(root: Field, values: _Values, budget: int) -> int:
    parallelism: int = values.get("parallelism") or 1
    folds: Folds = values.get("folds") or Folds()
    most = budget * folds.count
    if parallelism > most:
        all_folds = " in folds" if folds.count > 1 else ""
        root.report.notes.append(f"parallelism: {parallelism} is more than the budget{all_folds}; {most} is used")
    return min(parallelism, most)


def _try_first(root: Field, values: _Values, space: Space | None) -> tuple[Mapping[str, Value], ...]:
    if space is None:
        return ()
    before = len(root.report.found)
    configurations: tuple[Mapping[str, Value], ...] = values.get("try_first") or ()
    for found in root.find("try_first").items():
        configuration = CONFIGURATION.read(found)  # once more: of a list with a mistake there are no values
        if configuration is None:
            continue
        wrong = found.entries().keys() - configuration.keys()  # told already
        for problem in space.configuration_problems(configuration):
            if problem.key in wrong:
                continue
            hint = "" if problem.key in space.by_name else did_you_mean(problem.key, space.by_name)
            at = found.find(problem.key)
            at.wrong(problem.message if at is not found else f"{problem.key} {problem.message}", hint)
    if len(root.report.found) > before:
        return ()
    return tuple(map(space.exact, configurations))
