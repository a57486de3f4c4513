"""Builds an experiment from parsed sections and checks them against each other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.config.document.kinds import MAX_TRIALS
from orchestune.config.document.nodes import yaml_text
from orchestune.config.document.report import Field
from orchestune.config.keys import CONFIGURATION
from orchestune.config.sections.engine import EngineSettings
from orchestune.config.sections.environment import EnvironmentSettings
from orchestune.config.sections.keep import CheckpointSettings
from orchestune.config.sections.placement import Build, build, placement
from orchestune.config.sections.run import check_placeholders
from orchestune.config.sections.small import Retry
from orchestune.config.sections.template import config_file, constant_lines
from orchestune.config.sections.warm_start import warm_starts
from orchestune.domain.search.engines import LEARNERS
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Space, key
from orchestune.domain.search.warm_start import WarmStarts
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.command_channels import ConfigTemplate, ConstantTemplate
from orchestune.domain.specification.experiment import Specification, StopRules
from orchestune.domain.specification.folds import Folds
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.words import brief_list, did_you_mean
from orchestune.errors import BadInput
from orchestune.system.project_root import is_no_project, root_at
from orchestune.worker.command import ALL_PARAMETERS, placeholders

_Values = Mapping[str, Any]
_UNCHANGED_SECTIONS = (
    "folds", "resources", "preload", "secrets", "timeout", "grace", "stop", "early_stopping", "keep", "seed",
    "priority", "labels", "notify", "mlflow", "collect",
)  # fmt: skip
"""sections that are passed unchanged to the field of the same name, which has a default"""


def assemble(root: Field, values: _Values, folder: Path) -> tuple[Specification, CodeSettings, Build, WarmStarts]:
    """Build the specification, the code settings, the image build and the warm start.

    Raises BadInput with all problems, including those reported before. `folder` is the folder of the file: it gives the
    experiment its default name, and its configuration file and result files are read.
    """
    report = root.report
    space = _space(root, values)
    _check_names(root, values)
    engine: EngineSettings = values.get("engine") or EngineSettings("auto")
    try_first = _try_first(root, values, space)
    repeats = len(try_first) - len(set(map(key, try_first)))
    budget = _budget(root, values, space, engine, repeats)
    _check_metrics(root, values)
    _check_root(root, values, folder)
    image = build(root, values)
    constants = _constants(root, values, folder)
    config = _config(root, values, folder, constants)
    sources, metrics = values.get("warm_start") or (), values.get("metrics") or ()
    warm_start = warm_starts(root.find("warm_start"), sources, folder, space, metrics, engine.name in LEARNERS)
    report.raise_if_bad()
    assert space is not None and budget is not None
    if len(try_first) > budget:
        excess = f"try_first: {len(try_first)} configurations are more than the budget of {budget}"
        report.notes.append(f"{excess}; the others run if the budget is raised")
    checkpoint: CheckpointSettings = values.get("checkpoint") or CheckpointSettings(None)
    retry: Retry = values.get("retry") or Retry()
    environment: EnvironmentSettings = values.get("env") or EnvironmentSettings()
    specification = Specification(
        name=values.get("name") or _folder_name(folder),
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
        constants=constants,
        stdin="json" if values.get("stdin") == "json" else "",
        env=environment.variables,
        inherit_env=environment.inherit,
        **{name: values[name] for name in _UNCHANGED_SECTIONS if values.get(name)},
    )
    return specification, values.get("code") or CodeSettings(), image, warm_start


def _folder_name(folder: Path) -> str:
    """Return the folder's name, also if its path ends with `..`."""
    name = os.path.basename(os.path.abspath(folder))
    return os.fsencode(name).decode("utf-8", "backslashreplace") or "experiment"


def _constants(root: Field, values: _Values, folder: Path) -> ConstantTemplate | None:
    path = values.get("constants")
    if not path:
        return None
    names, used = _names(values), placeholders(values.get("run") or "")
    are_placed = bool({*used} & {*ALL_PARAMETERS} or values.get("config"))
    return constant_lines(root.find("constants"), path, folder, names, names if are_placed else used)


def _names(values: _Values) -> list[str]:
    return [parameter.name for parameter in values.get("parameters") or ()]


def _config(root: Field, values: _Values, folder: Path, constants: ConstantTemplate | None) -> ConfigTemplate | None:
    path = values.get("config")
    if not path:
        return None
    names = _names(values)
    used = [*placeholders(values.get("run") or ""), *(constants.names if constants else ())]
    if "config" in names:
        root.find("parameters", "config").reject(
            "{config} in `run` is reserved for the configuration file", "rename the parameter"
        )
        return None
    placed = names if set(used) & set(ALL_PARAMETERS) else used
    template = config_file(root.find("config"), path, folder, names, placed)
    if "config" not in used and template is not None and not template.path:
        root.report.notes.append(
            "config: the command has no {config}; the path of the copy is only in $ORCHESTUNE_CONFIG"
        )
    return template


def _space(root: Field, values: _Values) -> Space | None:
    """Build the search space. Returns None if any parameter is invalid."""
    report, before = root.report, len(root.report.problems)
    parameters: tuple[Parameter, ...] = values.get("parameters") or ()
    declared = root.find("parameters").entries()
    parsed = {parameter.name for parameter in parameters}
    parsed_parameters: list[Parameter] = []
    for parameter in parameters:
        for parent, _ in parameter.when:
            if parent not in declared:
                parent_key = root.find("parameters", parameter.name, "when").entries()[parent][0]
                report.add(parent_key.position, f"parameters.{parameter.name}.when", f"unknown parameter '{parent}'",
                           did_you_mean(parent, set(declared) - {parameter.name}))  # fmt: skip
        parsed_parameters.append(replace(parameter, when=tuple(item for item in parameter.when if item[0] in parsed)))
    for problem in Space(tuple(parsed_parameters)).problems():
        root.find("parameters", problem.key).reject(problem.message, problem.hint)
    if len(report.problems) == before:
        _check_conditions(root, parameters)
    complete = len(parsed) == len(declared) and len(report.problems) == before and bool(parsed)
    if not complete:
        return None
    space = Space.of(parameters)
    for problem in space.never_active():
        root.find("parameters", problem.key, "when").reject(problem.message, problem.hint)
    return _constrained(root, space, values.get("constraints") or ())


def _check_conditions(root: Field, parameters: Sequence[Parameter]) -> None:
    """Check the values of conditions on continuous parameters: only their bounds are ever drawn exactly."""
    continuous = {parameter.name: parameter for parameter in parameters if math.isinf(parameter.count())}
    for parameter in parameters:
        for name, values in parameter.when:
            field = root.find("parameters", parameter.name, "when", name)
            if (parent := continuous.get(name)) is None:
                continue
            for value_field, value in zip(field.items() or [field], values, strict=False):
                if value not in (parent.low, parent.high):
                    message = f"{name} is continuous on {parent.low:g}..{parent.high:g}, so it never equals {value!r}"
                    value_field.reject(message, f"give {name} a step, list its values, or use one of its bounds")


def _constrained(root: Field, space: Space, texts: Sequence[str]) -> Space | None:
    field = root.find("constraints")
    fields = field.items() or [field]
    try:
        constrained = space.constrained(texts)
    except BadInput as exc:
        keys = {f"constraints[{index}]": constraint_field for index, constraint_field in enumerate(fields)}
        for problem in exc.problems:
            keys.get(problem.key, field).reject(problem.message, problem.hint)
        return None
    for constraint_field, constraint in zip(fields, constrained.constraints, strict=False):
        for name, text in sorted(constraint.compared):
            choices = [choice for choice in space.by_name[name].choices if isinstance(choice, str)]
            if text not in choices:
                hint = did_you_mean(text, choices) or (f"values: {brief_list(choices)}" if choices else "")
                constraint_field.reject(f"`{constraint.text[:80]}`: {name} is never '{text}'", hint)
    return constrained


def _check_names(root: Field, values: _Values) -> None:
    """Check names that one section takes from another, or must not repeat."""
    parameters = root.find("parameters").entries()
    if values.get("run") is not None and parameters:
        check_placeholders(root.find("run"), parameters, bool(values.get("config")))
    environment: EnvironmentSettings = values.get("env") or EnvironmentSettings()
    for secret in values.get("secrets") or ():
        if secret.name in environment.variables:
            root.find("secrets").reject(f"{secret.name} is also set under `env`", "remove one of the two")


def _check_root(root: Field, values: _Values, folder: Path) -> None:
    """Check that the folder of the project is the file's own or one above it, and holds a single project."""
    code: CodeSettings = values.get("code") or CodeSettings()
    target = root_at(code.root, folder)
    if target not in (folder, *folder.parents):
        root.find("code", "root").reject(
            f"not the folder of the experiment file or one above it: '{code.root}'", "write a path such as `..`"
        )
    elif target != folder and is_no_project(target):
        text = f"holds more than one project: '{target}' (expected a folder below the home folder, `/` and /tmp)"
        root.find("code", "root").reject(text, "name the folder of the project")


def _check_metrics(root: Field, values: _Values) -> None:
    """Check the sections that refer to metrics."""
    metrics: tuple[Metric, ...] = values.get("metrics") or ()
    stop, early_stopping = values.get("stop") or StopRules(), values.get("early_stopping")
    if metrics and stop.futile is not None:
        side = "below" if metrics[0].goal == "maximize" else "above"
        if stop.futile.side != side:
            message = f"{metrics[0].name} is {metrics[0].goal}d, so the limit must be `{side}`"
            root.find("stop", "futile").reject(message, f"write `{side}`")
    if (
        metrics
        and early_stopping is not None
        and early_stopping.metric not in (None, *(metric.name for metric in metrics))
    ):
        names = [metric.name for metric in metrics]
        hint = did_you_mean(early_stopping.metric, names) or f"declared metrics: {', '.join(names)}"
        root.find("early_stopping", "metric").reject(f"unknown metric '{early_stopping.metric}'", hint)


def _budget(root: Field, values: _Values, space: Space | None, engine: EngineSettings, repeats: int) -> int | None:
    """Return the budget. `repeats` is the number of duplicates in `try_first`, which a grid runs in addition."""
    budget: int | None = values.get("budget")
    if "budget" not in values:
        default = _default_budget(root, space, engine)
        return None if default is None else default + repeats
    if budget is None or space is None:
        return budget
    size = _grid_size(root, space) if engine.name == "grid" else _quick_size(space)
    limit = size + repeats if engine.name == "grid" else size
    if budget <= limit:
        return budget
    note = f"budget: {budget} is more than the {f'{size:g} configurations' if size > 1 else 'one configuration'} of the"
    if engine.name == "grid":
        duplicates = f" and the duplicates in try_first ({repeats})" if repeats else ""
        root.report.notes.append(f"{note} grid{duplicates}; {limit:g} is used")
        return int(limit)
    root.report.notes.append(f"{note} space; the experiment finishes when all have run")
    return budget


def _default_budget(root: Field, space: Space | None, engine: EngineSettings) -> int | None:
    if "budget" in root.report.misspelled:
        return None
    if engine.name != "grid":
        hint = "set the number of trials, for example budget: 40"
        root.report.add(root.node.position, "budget", "is missing", hint)
    elif space is not None and not _continuous(space) and space.size() > MAX_TRIALS:
        message = f"is missing, and the grid is too large to be the default (more than {MAX_TRIALS:,} configurations)"
        root.report.add(root.node.position, "budget", message)
    elif space is not None:
        size = _grid_size(root, space)
        return None if math.isinf(size) else int(size)
    return None


def _continuous(space: Space) -> list[Parameter]:
    return [parameter for parameter in space.parameters if math.isinf(parameter.count())]


def _grid_size(root: Field, space: Space) -> float:
    for parameter in _continuous(space):
        root.find("parameters", parameter.name).reject(
            "the grid engine needs a finite number of values", "give it a step, or list the values"
        )
    return space.size()


def _quick_size(space: Space) -> float:
    """Return the size of the space if it is quick to count, otherwise infinity."""
    return space.size() if math.prod(parameter.count() for parameter in space.parameters) <= 1000 else math.inf


def _parallelism(root: Field, values: _Values, budget: int) -> int:
    parallelism: int = values.get("parallelism") or 1
    folds: Folds = values.get("folds") or Folds()
    limit = budget * folds.count
    if parallelism > limit:
        all_folds = " in folds" if folds.count > 1 else ""
        root.report.notes.append(f"parallelism: {parallelism} is more than the budget{all_folds}; {limit} is used")
    return min(parallelism, limit)


def _try_first(root: Field, values: _Values, space: Space | None) -> tuple[Mapping[str, Value], ...]:
    if space is None:
        return ()
    before = len(root.report.problems)
    configurations: tuple[Mapping[str, Value], ...] = values.get("try_first") or ()
    for field in root.find("try_first").items():
        configuration = CONFIGURATION.read(field)  # read again: a list with any invalid entry has no values
        if configuration is None:
            continue
        invalid_names = field.entries().keys() - configuration.keys()  # already reported
        for problem in space.configuration_problems(configuration):
            if problem.key in invalid_names:
                continue
            value_field = field.find(problem.key)
            if (parameter := space.by_name.get(problem.key)) is None:
                hint = did_you_mean(problem.key, space.by_name)
            elif problem.key in configuration:
                hint = ""
            else:
                example = yaml_text(parameter.rounded(parameter.from_unit(0.5)))
                hint = f"add one of its range, such as `{problem.key}: {example}`"
            value_field.reject(
                problem.message if value_field is not field else f"{problem.key} {problem.message}", hint
            )
    if len(root.report.problems) > before:
        return ()
    return tuple(map(space.exact, configurations))
