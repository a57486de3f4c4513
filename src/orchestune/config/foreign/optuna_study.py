"""Import of Optuna studies from their storage: the search space and the results."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from orchestune.config.document.nodes import SourcePosition, mapping
from orchestune.config.foreign.notes import valid_names
from orchestune.config.foreign.optuna_choices import in_words, single
from orchestune.config.foreign.optuna_conditions import with_conditions
from orchestune.config.sections.short_spelling import spelled
from orchestune.config.sources.draft import Draft
from orchestune.domain.search.parameters import token
from orchestune.domain.words import did_you_mean, plural
from orchestune.errors import NotFound, UsageError

_SQLITE = b"SQLite format 3\0"
_STATES = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_PACKAGES = {"MySQLdb": "mysqlclient", "psycopg": "psycopg[binary]"}
"""package to install for a module, if the names differ"""
COMMAND = "python train.py {args}"
BUDGET = 40


def draft(source: str, name: str | None, metrics: Sequence[str] = ()) -> Draft:
    """Convert a study to an experiment that is warm-started with its results. The storage is only read.

    `metrics` are the names of the objectives, if the caller has better ones than the study.
    """
    storage = _open(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about experimental features of Optuna
            return _of_study(storage, _name(storage, source, name), source, metrics)
    except (SQLAlchemyError, StorageInternalError) as exc:
        raise UsageError(f"cannot read {_without_password(source)}: {_first_line(exc)}") from exc
    finally:
        storage.remove_session()
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()


def _open(source: str) -> BaseStorage:
    path = re.sub(r"^sqlite(?:\+\w+)?:///", "", source)
    if path != source or "://" not in source:
        if not Path(path).is_file():
            raise NotFound(f"no such file: {path}", "use --from sqlite:///study.db, or the path of the storage file")
        with open(path, "rb") as file:
            journal = not file.read(16).startswith(_SQLITE)
        source = f"sqlite:///file:{quote(str(Path(path).absolute()))}?mode=ro&uri=true"
    else:
        journal = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if journal:
                return JournalStorage(JournalFileBackend(path))
            return RDBStorage(source, skip_table_creation=True)
    except ImportError as exc:
        raise _missing_driver(source, exc) from exc
    except NoSuchModuleError as exc:
        raise UsageError(
            f"not a URL of an Optuna storage: {_without_password(source)}",
            "use --from with sqlite:///study.db, mysql://…, postgresql://…, or the path of the storage file",
        ) from exc
    except (SQLAlchemyError, StorageInternalError, RuntimeError, ValueError, KeyError, OSError) as exc:
        raise UsageError(f"cannot open {_without_password(path)} as an Optuna storage: {_first_line(exc)}") from exc


def _missing_driver(source: str, exc: ImportError) -> UsageError:
    """Build the error of a missing database driver, with the package that Optuna's own message lacks."""
    cause = exc.__cause__ or exc.__context__ or exc
    module = getattr(cause, "name", None) or ""
    package = _PACKAGES.get(module, module)
    return UsageError(
        f"cannot read {_without_password(source)}: {_first_line(cause)}",
        f"install the driver: pip install '{package}'" if package else "",
    )


def _without_password(source: str) -> str:
    """Return the storage URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", source)


def _first_line(exc: BaseException) -> str:
    if isinstance(exc, StorageInternalError) and exc.__cause__ is not None:
        exc = exc.__cause__
    return (str(exc).strip() or type(exc).__name__).splitlines()[0][:300]


def _name(storage: BaseStorage, source: str, name: str | None) -> str:
    names = sorted(study.study_name for study in storage.get_all_studies())
    if name is None and len(names) == 1:
        return names[0]
    if not names:
        raise NotFound(f"no study in {_without_password(source)}")
    if name is None:
        raise UsageError(
            f"{_without_password(source)} has {len(names)} studies: {', '.join(names[:10])}",
            f"choose one: --study {names[0]}",
        )
    if name not in names:
        raise NotFound(
            f"no study '{name}' in {_without_password(source)}",
            did_you_mean(name, names) or f"studies: {', '.join(names[:10])}",
        )
    return name


def _of_study(storage: BaseStorage, name: str, source: str, metrics: Sequence[str]) -> Draft:
    study = optuna.load_study(study_name=name, storage=storage)
    trials = study.get_trials(deepcopy=False)
    notes = ["the study does not store its sampler and pruner; the engine is auto"]
    spaces = _spaces(trials)
    if not spaces:
        raise UsageError(f"no trial of the study {name} has parameters, so its search space is unknown")
    names = _names(study, metrics, notes)
    goals = ["maximize" if int(direction) == 2 else "minimize" for direction in study.directions]
    ranges = {parameter: _space(parameter, distributions, notes) for parameter, distributions in spaces.items()}
    new_names = valid_names("parameters", spaces, notes)
    conditioned = with_conditions(ranges, spaces, trials, notes)
    document: dict[str, Any] = {
        "name": name,
        "run": COMMAND,
        "parameters": {new_names[parameter]: _renamed(space, new_names) for parameter, space in conditioned.items()},
        "metrics": dict(zip(names, goals, strict=True)),
        "budget": BUDGET,
    }
    words = {parameter for parameter, distributions in spaces.items() if in_words(distributions)}
    results = [result for trial in trials if (result := _result(trial, new_names, names, words)) is not None]
    files = {}
    if results:
        path = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}-results.jsonl"
        document["warm_start"] = path
        files[path] = "".join(f"{json.dumps(result)}\n" for result in results)
    remarks = {"run": "not in the study: write the command of your program here"}
    return Draft(mapping(document, SourcePosition(_without_password(source))), tuple(notes), remarks, files=files)


def _option(study: optuna.Study, index: int) -> str:
    return f"--{'maximize' if int(study.directions[index]) == 2 else 'minimize'} METRIC"


def _names(study: optuna.Study, metrics: Sequence[str], notes: list[str]) -> list[str]:
    count = len(study.directions)
    if len(metrics) == count:
        return list(metrics)
    if metrics:
        hint = "name each objective once, in order: " + " ".join(_option(study, index) for index in range(count))
        summary = f"the study {study.study_name} optimized {plural(count, 'value')}"
        raise UsageError(f"{summary}, but {len(metrics)} are named", hint)
    metric_names = study.metric_names
    if metric_names is not None:
        new_names = valid_names("metrics", metric_names, notes)
        return [new_names[name] for name in metric_names]
    names = ["objective"] if count == 1 else [f"objective_{index}" for index in range(count)]
    names_text = " and ".join(names)
    notes.append(
        f"the study does not name its objectives: print {names_text} in your program, or use --minimize METRIC"
    )
    return names


def _spaces(trials: Iterable[FrozenTrial]) -> dict[str, list[BaseDistribution]]:
    """Return every distribution of each parameter, in order of appearance."""
    spaces: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            distributions = spaces.setdefault(name, [])
            if distribution not in distributions:
                distributions.append(distribution)
    return spaces


def _space(name: str, distributions: Sequence[BaseDistribution], notes: list[str]) -> Any:
    """Return a range or list of values that contains all distributions."""
    if len(distributions) > 1:
        notes.append(f"parameters.{name}: its range changed during the study; this one contains all of them")
    categorical = [distribution for distribution in distributions if isinstance(distribution, CategoricalDistribution)]
    if categorical:
        words = in_words(categorical)
        choices = dict.fromkeys(
            token(single(choice, words)) for distribution in categorical for choice in distribution.choices
        )
        if words:
            notes.append(f"parameters.{name}: None, True and False are passed to the program as these words")
        elif any(choice is None for distribution in categorical for choice in distribution.choices):
            notes.append(f"parameters.{name}: None is passed to the program as the word None")
        return [choice for _, choice in choices]
    ranges = [
        distribution for distribution in distributions if isinstance(distribution, (FloatDistribution, IntDistribution))
    ]
    is_integer = all(isinstance(distribution, IntDistribution) for distribution in ranges)
    steps = {distribution.step for distribution in ranges}
    low, high = min(distribution.low for distribution in ranges), max(distribution.high for distribution in ranges)
    if low == high:
        return [low]
    step = steps.pop() if len(steps) == 1 else None
    return spelled(low, high, log=all(distribution.log for distribution in ranges), step=step, whole=is_integer)


def _renamed(space: Any, new_names: Mapping[str, str]) -> Any:
    """Return the space with renamed parameters in its condition."""
    if not isinstance(space, dict) or "when" not in space:
        return space
    return {**space, "when": {new_names[parent]: values for parent, values in space["when"].items()}}


def _result(
    trial: FrozenTrial, new_names: Mapping[str, str], names: Sequence[str], words: Container[str]
) -> dict[str, Any] | None:
    """Convert a finished trial to a result for a warm start; None for any other trial.

    Booleans of the parameters `words` become text.
    """
    state = _STATES.get(trial.state)
    values = trial.values or []
    if state is None or not all(map(math.isfinite, values)):
        return None
    return {
        "parameters": {new_names[name]: single(value, name in words) for name, value in trial.params.items()},
        "metrics": dict(zip(names, values, strict=True)) if state == "completed" else {},
        "state": state,
    }
