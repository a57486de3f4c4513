"""The best trials of experiments, and their API documents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestune import documents
from orchestune.domain.specification.metrics import ReducedMetric, objectives
from orchestune.services.core import Core
from orchestune.services.memory.estimates import Choice, IncumbentEstimate
from orchestune.services.memory.lru_cache import Recent
from orchestune.services.memory.pareto import extended
from orchestune.store import trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.trials import MeasuredTrial

_MAX_FRONT_TRIALS = 1000
"""Maximum trials of a Pareto front in documents; of more, every k-th one is shown. All lists of experiments contain the
front, and with enough metrics every trial is on it.
"""
_MAX_FRONT_BYTES = 2**22
"""maximum bytes of their documents: a configuration may have 64 KiB"""
_MAX_LISTED_FRONT_BYTES = 2**16
"""maximum bytes of them for each experiment of a list, unless one trial has more"""
_MAX_CACHED_FRONT_BYTES = 2**26


def of_all(
    core: Core, session: Session, rows: Sequence[ExperimentRow], *, only_declared: bool = False
) -> dict[str, list[documents.Best]]:
    """Return the best trial or Pareto front of each experiment; `rows` must have been read in this session.

    `only_declared`, for lists, leaves out the other metrics: programs choose their number and names, up to megabytes
    for a trial. Of a long front it shows fewer trials.
    All experiments with one metric and no noise together take one query.
    """
    chosen = core.estimates.of(session, rows)
    plain = [row for row in rows if row.id not in chosen and not _several(row)]
    measured = trials.with_best_value(session, [row.id for row in plain], only_declared=only_declared)
    best = {row.id: [_entry(row, measured[row.id])] if row.id in measured else [] for row in plain}
    others = {row.id: _others(session, row, chosen.get(row.id)) for row in rows if row.id not in best}
    if only_declared:
        others = {row.id: _listed(row, others[row.id]) for row in rows if row.id in others}
    return best | {experiment: list(front.entries.values()) for experiment, front in others.items()}


def _listed(row: ExperimentRow, front: _FrontDocuments) -> _FrontDocuments:
    """Return every k-th trial, with the declared metrics alone: a list has the fronts of many experiments."""
    names = {metric.name for metric in row.specification.metrics}
    limit = len(front.entries) * _MAX_LISTED_FRONT_BYTES // max(front.bytes, 1)
    entries: dict[int, documents.Best] = {
        number: {
            **front.entries[number],
            "metrics": {name: value for name, value in front.entries[number]["metrics"].items() if name in names},
        }
        for number in _every([*front.entries], limit)
    }
    return _FrontDocuments(entries, front.bytes)


def _others(session: Session, row: ExperimentRow, choice: Choice | None) -> _FrontDocuments:
    if choice is not None:
        return _fitting(_entries(session, row, _every(choice.trials, _MAX_FRONT_TRIALS), choice.estimate))
    return _of_front(session, row) if row.best_trial is not None else _FrontDocuments({}, 0)


def numbers(core: Core, session: Session, row: ExperimentRow) -> Sequence[int]:
    """Return the numbers of the best trials."""
    choice = core.estimates.of(session, [row]).get(row.id)
    return choice.trials if choice is not None else measured(session, row)


def measured(session: Session, row: ExperimentRow) -> Sequence[int]:
    """Return the best trial or the Pareto front by measured values, ignoring noise."""
    if row.best_trial is None:
        return []
    return _front(session, row) if _several(row) else [row.best_trial]


def _several(row: ExperimentRow) -> bool:
    return len(objectives(row.specification.metrics)) > 1


def _entries(
    session: Session, row: ExperimentRow, numbers: Sequence[int], estimate: IncumbentEstimate | None = None
) -> dict[int, documents.Best]:
    measured = row.best_trial if estimate is not None and estimate.trial != row.best_trial else None
    metrics = trials.metrics_of(session, row.id, [*numbers, *([] if measured is None else [measured])])
    entries = {
        trial.number: _entry(
            row, MeasuredTrial(trial.number, trial.configuration, metrics.get(trial.number, {})), estimate
        )
        for trial in trials.of_numbers(session, row.id, numbers)
    }
    if estimate is not None and measured is not None and estimate.trial in entries:
        value = metrics.get(measured, {}).get(row.specification.objective.name)
        entries[estimate.trial]["measured_value"] = _measured(value.value, value.stddev) if value else None
        entries[estimate.trial]["measured_expected"] = _measured(estimate.measured_value, estimate.measured_stddev)
    return entries


def _entry(row: ExperimentRow, trial: MeasuredTrial, estimate: IncumbentEstimate | None = None) -> documents.Best:
    names = [metric.name for metric in row.specification.metrics if metric.name in trial.metrics]
    declared = {name: trial.metrics[name] for name in names}
    return {
        "trial": trial.number,
        "metrics": metric_documents(declared | trial.metrics),  # in order of declaration, undeclared ones last
        "parameters": trial.configuration,
        "expected": _measured(estimate.value, estimate.stddev) if estimate is not None else None,
        "measured_best": row.best_trial if estimate is not None and trial.number != row.best_trial else None,
        "measured_value": None,
        "measured_expected": None,
    }


def _measured(value: float | None, stddev: float | None) -> documents.Measured | None:
    return None if value is None else {"value": value, "stddev": stddev}


def metric_documents(metrics: Mapping[str, ReducedMetric]) -> dict[str, documents.Measured]:
    """Return the metrics of a trial as API documents."""
    return {name: {"value": metric.value, "stddev": metric.stddev} for name, metric in metrics.items()}


@dataclass(frozen=True)
class _Front:
    """The Pareto front of the first `history_seq` results, with the values of its trials."""

    history_seq: int
    values: Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class _FrontDocuments:
    """The documents of the displayed trials of a Pareto front."""

    entries: Mapping[int, documents.Best]
    bytes: int


_FRONTS: Recent[_Front] = Recent()
_OF_FRONTS: Recent[_FrontDocuments] = Recent(most=_MAX_CACHED_FRONT_BYTES, size=lambda front: front.bytes)


def _front(session: Session, row: ExperimentRow) -> Sequence[int]:
    """Return the Pareto front, incrementally: new results are compared with the cached front only."""
    metrics = row.specification.metrics

    def build(before: _Front | None) -> _Front:
        cached = before if before is not None and before.history_seq <= row.history_seq else _Front(0, {})
        new = trials.completed_values(session, row.id, [metric.name for metric in metrics], cached.history_seq)
        values = {**cached.values, **new}
        front = extended(metrics, cached.values, new)
        return _Front(row.history_seq, {number: values[number] for number in front})

    return list(_FRONTS.updated(_key(row), row.history_seq, build).values)


def _of_front(session: Session, row: ExperimentRow) -> _FrontDocuments:
    """Return the documents of the Pareto front, or of every k-th of its trials; cached ones are reused."""

    def build(before: _FrontDocuments | None) -> _FrontDocuments:
        cached = before.entries if before is not None else {}
        front = _every(_front(session, row), _MAX_FRONT_TRIALS)
        new = _entries(session, row, [number for number in front if number not in cached])
        entries = {number: cached[number] if number in cached else new[number] for number in front}
        return _fitting(entries)

    return _OF_FRONTS.updated(_key(row), row.history_seq, build)


def _fitting(entries: Mapping[int, documents.Best]) -> _FrontDocuments:
    """Return the documents, or those of every k-th trial if they take too many bytes."""
    size = _size(entries.values())
    if size > _MAX_FRONT_BYTES:
        numbers = [*entries]
        entries = {number: entries[number] for number in _every(numbers, len(numbers) * _MAX_FRONT_BYTES // size)}
        size = _size(entries.values())
    return _FrontDocuments(entries, size)


def _size(entries: Iterable[documents.Best]) -> int:
    return sum(len(str(entry)) for entry in entries)


def _every(front: Sequence[int], limit: int) -> Sequence[int]:
    """Return every k-th trial of a front, at most `limit` of them but at least one."""
    return front[:: max(math.ceil(len(front) / max(limit, 1)), 1)]


def _key(row: ExperimentRow) -> tuple[object, str]:
    return row.cache_key, row.specification_json
