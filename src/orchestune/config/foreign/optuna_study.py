"""Studies of Optuna, read from their storage: the space that was searched, and what came of it."""

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
from orchestune.config.foreign.notes import called
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
"""what to install for a module that is called otherwise"""
COMMAND = "python train.py {args}"
BUDGET = 40


def draft(source: str, name: str | None, metrics: Sequence[str] = ()) -> Draft:
    """The study as an experiment, whose search begins with what the study found. Its storage is only read.

    `metrics` are the names of its objectives, where the caller knows better than the study.
    """
    storage = _opened(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what is experimental in Optuna
            return _of_study(storage, _name(storage, source, name), source, metrics)
    except (SQLAlchemyError, StorageInternalError) as exc:
        raise UsageError(f"{_shown(source)} cannot be read: {_first_line(exc)}") from exc
    finally:
        storage.remove_session()
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()


def _opened(source: str) -> BaseStorage:
    path = re.sub(r"^sqlite(?:\+\w+)?:///", "", source)
    if path != source or "://" not in source:
        if not Path(path).is_file():
            raise NotFound(f"there is no file {path}", "--from sqlite:///study.db, or the path of the storage's file")
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
        raise _lacking(source, exc) from exc
    except NoSuchModuleError as exc:
        raise UsageError(
            f"{_shown(source)} is no address of a storage of Optuna",
            "--from takes sqlite:///study.db, mysql://…, postgresql://…, or the path of the storage's file",
        ) from exc
    except (SQLAlchemyError, StorageInternalError, RuntimeError, ValueError, KeyError, OSError) as exc:
        raise UsageError(f"{_shown(path)} cannot be read as a storage of Optuna: {_first_line(exc)}") from exc


def _lacking(source: str, exc: ImportError) -> UsageError:
    """The driver of the database is not installed; Optuna, which says so, does not say which one that is."""
    cause = exc.__cause__ or exc.__context__ or exc
    module = getattr(cause, "name", None) or ""
    package = _PACKAGES.get(module, module)
    return UsageError(
        f"{_shown(source)} cannot be read: {_first_line(cause)}",
        f"install the driver beside orchestune: pip install '{package}'" if package else "",
    )


def _shown(source: str) -> str:
    """The address without a password."""
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
        raise NotFound(f"{_shown(source)} holds no study")
    if name is None:
        raise UsageError(
            f"{_shown(source)} holds {len(names)} studies: {', '.join(names[:10])}", f"choose one: --study {names[0]}"
        )
    if name not in names:
        raise NotFound(
            f"{_shown(source)} holds no study {name}", did_you_mean(name, names) or f"it holds {', '.join(names[:10])}"
        )
    return name


def _of_study(storage: BaseStorage, name: str, source: str, metrics: Sequence[str]) -> Draft:
    study = optuna.load_study(study_name=name, storage=storage)
    trials = study.get_trials(deepcopy=False)
    notes = ["the study does not say how its sampler and its pruner were set; the engine here is auto"]
    spaces = _spaces(trials)
    if not spaces:
        raise UsageError(f"no trial of the study {name} has parameters, so nothing is known of its space")
    names = _names(study, metrics, notes)
    goals = ["maximize" if int(direction) == 2 else "minimize" for direction in study.directions]
    ranges = {parameter: _space(parameter, found, notes) for parameter, found in spaces.items()}
    here = called("parameters", spaces, notes)
    conditioned = with_conditions(ranges, spaces, trials, notes)
    document: dict[str, Any] = {
        "name": name,
        "run": COMMAND,
        "parameters": {here[parameter]: _renamed(space, here) for parameter, space in conditioned.items()},
        "metrics": dict(zip(names, goals, strict=True)),
        "budget": BUDGET,
    }
    words = {parameter for parameter, found in spaces.items() if in_words(found)}
    results = [result for trial in trials if (result := _result(trial, here, names, words)) is not None]
    files = {}
    if results:
        path = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}-results.jsonl"
        document["warm_start"] = path
        files[path] = "".join(f"{json.dumps(result)}\n" for result in results)
    remarks = {"run": "the study does not say: write the command of your program here"}
    return Draft(mapping(document, SourcePosition(_shown(source))), tuple(notes), remarks, files=files)


def _option(study: optuna.Study, index: int) -> str:
    return f"--{'maximize' if int(study.directions[index]) == 2 else 'minimize'} METRIC"


def _names(study: optuna.Study, metrics: Sequence[str], notes: list[str]) -> list[str]:
    count = len(study.directions)
    if len(metrics) == count:
        return list(metrics)
    if metrics:
        hint = "name each once, in its order: " + " ".join(_option(study, index) for index in range(count))
        optimized = f"the study {study.study_name} optimized {plural(count, 'value')}"
        raise UsageError(f"{optimized}, and {len(metrics)} are named", hint)
    known = study.metric_names
    if known is not None:
        here = called("metrics", known, notes)
        return [here[name] for name in known]
    names = ["objective"] if count == 1 else [f"objective_{index}" for index in range(count)]
    shown = " and ".join(names)
    notes.append(f"the study does not name what it optimized: let your program print {shown}, or say --minimize METRIC")
    return names


def _spaces(trials: Iterable[FrozenTrial]) -> dict[str, list[BaseDistribution]]:
    """Every distribution that each parameter had, the first one first."""
    found: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            known = found.setdefault(name, [])
            if distribution not in known:
                known.append(distribution)
    return found


def _space(name: str, found: Sequence[BaseDistribution], notes: list[str]) -> Any:
    """A range that holds all of them, or the values of all of them."""
    if len(found) > 1:
        notes.append(f"parameters.{name}: its range changed in the course of the study; this one holds all of them")
    listed = [one for one in found if isinstance(one, CategoricalDistribution)]
    if listed:
        words = in_words(listed)
        choices = dict.fromkeys(token(single(choice, words)) for one in listed for choice in one.choices)
        if words:
            notes.append(f"parameters.{name}: None, True and False are given to the program as these words")
        elif any(choice is None for one in listed for choice in one.choices):
            notes.append(f"parameters.{name}: None is given to the program as the word None")
        return [choice for _, choice in choices]
    ranges = [one for one in found if isinstance(one, (FloatDistribution, IntDistribution))]
    whole = all(isinstance(one, IntDistribution) for one in ranges)
    steps = {one.step for one in ranges}
    low, high = min(one.low for one in ranges), max(one.high for one in ranges)
    if low == high:
        return [low]
    step = steps.pop() if len(steps) == 1 else None
    return spelled(low, high, log=all(one.log for one in ranges), step=step, whole=whole)


def _renamed(space: Any, here: Mapping[str, str]) -> Any:
    """The space with the names in its condition as they are here."""
    if not isinstance(space, dict) or "when" not in space:
        return space
    return {**space, "when": {here[parent]: values for parent, values in space["when"].items()}}


def _result(
    trial: FrozenTrial, here: Mapping[str, str], names: Sequence[str], words: Container[str]
) -> dict[str, Any] | None:
    """A trial that ended, as results of trials are written down. Truth values of the parameters `words` are words."""
    state = _STATES.get(trial.state)
    values = trial.values or []
    if state is None or not all(map(math.isfinite, values)):
        return None
    return {
        "parameters": {here[name]: single(value, name in words) for name, value in trial.params.items()},
        "metrics": dict(zip(names, values, strict=True)) if state == "completed" else {},
        "state": state,
    }
