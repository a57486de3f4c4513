"""Rows of trials, their tasks and metrics: the cold queries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select

from orchestune.domain.metrics import Limit, Metric
from orchestune.domain.space import Configuration
from orchestune.domain.states import AttemptState, TrialState, WorkerState
from orchestune.errors import NotFound
from orchestune.store import hot
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.tables import attempts, events, experiments, points, tasks, trial_metrics, trials, workers


def get(session: Session, experiment: str, number: int) -> Row[Any] | None:
    """One trial."""
    return session.first(select(trials).where(trials.c.experiment == experiment, trials.c.number == number))


def need(session: Session, experiment: ExperimentRow, number: int) -> Row[Any]:
    """One trial; NotFound where the experiment has none of that number."""
    found = get(session, experiment.id, number)
    if found is None:
        raise NotFound(f"{experiment.handle} has no trial {number}", f"it has {experiment.created} so far")
    return found


def page(session: Session, experiment: str, after: int, limit: int, state: str | None) -> Sequence[Row[Any]]:
    """Trials with a number above `after`, in order."""
    query = select(trials).where(trials.c.experiment == experiment, trials.c.number > after)
    if state:
        query = query.where(trials.c.state == state)
    return session.select(query.order_by(trials.c.number).limit(limit))


def suggested(session: Session, experiment: str, count: int) -> list[int]:
    """The newest trials that an engine suggested and nobody has begun, so many at most."""
    begun = select(attempts.c.id).where(attempts.c.experiment == experiment, attempts.c.trial == trials.c.number)
    query = select(trials.c.number).where(
        trials.c.experiment == experiment,
        trials.c.state == TrialState.QUEUED,
        trials.c.engine_version.is_not(None),
        ~begun.exists(),
    )
    return [row.number for row in session.select(query.order_by(trials.c.number.desc()).limit(count))]


def tried_first(session: Session, experiment: str) -> int:
    """How many configurations of `try_first` were handed out; one that is queued again has a parent."""
    query = select(func.count()).where(
        trials.c.experiment == experiment, trials.c.source == "try_first", trials.c.parent.is_(None)
    )
    return int(session.select(query)[0][0])


def stopped_with_all(session: Session, experiment: str) -> Sequence[Row[Any]]:
    """What somebody named, was cancelled when the whole experiment was stopped for the last time, and has not been
    queued again since.
    """
    cancelled = and_(trials.c.experiment == experiment, trials.c.state == TrialState.CANCELLED)
    [[last]] = session.select(select(func.max(trials.c.finished_at)).where(cancelled))
    then = select(events.c.seq).where(
        events.c.experiment == experiment, events.c.kind == "experiment_state", events.c.at == last
    )
    if not session.select(then.limit(1)):
        return []
    named = and_(cancelled, trials.c.engine_version.is_(None), trials.c.finished_at == last)
    found = session.select(select(trials).where(named).order_by(trials.c.number))
    children = select(trials.c.parent, func.max(trials.c.number)).where(trials.c.experiment == experiment)
    newest = dict(map(tuple, session.select(children.group_by(trials.c.parent))))
    return [row for row in found if newest.get(row.number if row.parent is None else row.parent, 0) <= row.number]


def may_still_run(session: Session, experiment: str) -> bool:
    """Whether a worker has not told the end of an attempt that was cancelled, and may still be there."""
    query = select(attempts.c.id).join(workers, workers.c.id == attempts.c.worker)
    query = query.where(
        attempts.c.experiment == experiment,
        attempts.c.state == AttemptState.CANCELLED,
        attempts.c.log_bytes.is_(None),
        workers.c.state != WorkerState.ENDED,
    )
    return bool(session.select(query.limit(1)))


def last_sources(session: Session, among: Sequence[str], count: int) -> dict[str, set[str]]:
    """Where the newest trials of each of these experiments come from."""
    newest = and_(trials.c.experiment == experiments.c.id, trials.c.number > experiments.c.created - count)
    query = select(trials.c.experiment, trials.c.source).distinct().join(experiments, newest)
    found: dict[str, set[str]] = {experiment: set() for experiment in among}
    for row in session.among(query, experiments.c.id, among):
        found[row.experiment].add(row.source)
    return found


def with_best_value(session: Session, among: Sequence[str]) -> dict[str, tuple[int, str, dict[str, dict[str, Any]]]]:
    """Number, parameters (JSON) and metrics, as in `metrics_of`, of the trial that has the best value of each of these
    experiments.
    """
    best = and_(trials.c.experiment == experiments.c.id, trials.c.number == experiments.c.best_trial)
    query = select(trials.c.experiment, trials.c.number, trials.c.parameters).join(experiments, best)
    found = {
        row.experiment: (int(row.number), str(row.parameters), dict[str, dict[str, Any]]())
        for row in session.among(query, experiments.c.id, among)
    }
    of_best = and_(trial_metrics.c.experiment == experiments.c.id, trial_metrics.c.trial == experiments.c.best_trial)
    values = select(trial_metrics).join(experiments, of_best)
    values = values.order_by(trial_metrics.c.declared.desc(), trial_metrics.c.name)
    for row in session.among(values, experiments.c.id, among):
        found[row.experiment][2][row.name] = {"value": row.value, "stddev": row.stddev}
    return found


def metrics_of(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, dict[str, dict[str, Any]]]:
    """number → name → {value, stddev}."""
    query = select(trial_metrics).where(trial_metrics.c.experiment == experiment)
    query = query.order_by(trial_metrics.c.declared.desc(), trial_metrics.c.name)
    found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in session.among(query, trial_metrics.c.trial, numbers):
        found[row.trial][row.name] = {"value": row.value, "stddev": row.stddev}
    return found


def dominated(
    session: Session, experiment: str, metrics: Sequence[Metric], number: int, values: Mapping[str, float]
) -> bool:
    """Whether another completed trial that keeps every limit is at least as good in each of these values."""
    query = select(trials.c.number).where(
        trials.c.experiment == experiment, trials.c.state == TrialState.COMPLETED, trials.c.number != number
    )
    for metric in metrics:
        found = trial_metrics.alias()
        same = and_(
            found.c.experiment == trials.c.experiment, found.c.trial == trials.c.number, found.c.name == metric.name
        )
        query = query.join(found, same)
        if metric.name in values:
            wanted = values[metric.name]
            query = query.where(found.c.value >= wanted if metric.goal == "maximize" else found.c.value <= wanted)
        if metric.limit is not None:
            bound = metric.limit.bound
            query = query.where(found.c.value >= bound if metric.limit.least else found.c.value <= bound)
    return bool(session.select(query.limit(1)))


def reached(session: Session, experiment: str, name: str, count: int) -> list[tuple[float, int, float]]:
    """The last step and the number of values of a metric that attempts of the newest completed trials reported, and the
    seconds that they ran.

    One value alone is no point: it is the trial's.
    """
    newest = (
        select(trials.c.number)
        .where(
            trials.c.experiment == experiment,
            trials.c.history_seq.is_not(None),
            trials.c.state == TrialState.COMPLETED,
        )
        .order_by(trials.c.history_seq.desc())
        .limit(count)
    )
    numbers = [row.number for row in session.select(newest)]
    # put together with nothing it has no index: to be found by their trials is what takes one
    state = attempts.c.state.concat("")
    query = (
        select(func.max(points.c.step), func.count(points.c.sequence), func.max(attempts.c.wall))
        .select_from(attempts)
        .join(points, and_(points.c.attempt == attempts.c.id, points.c.name == name), isouter=True)
        .where(
            attempts.c.experiment == experiment,
            attempts.c.trial.in_(numbers),
            state == AttemptState.SUCCEEDED,
        )
        .group_by(attempts.c.id)
    )
    found = [(step, max(int(values), 1), wall or 0.0) for step, values, wall in map(tuple, session.select(query))]
    return [(float(values if step is None else step), values, float(wall)) for step, values, wall in found]


def tasks_of(session: Session, experiment: str, number: int) -> Sequence[Row[Any]]:
    """The tasks of a trial, by fold."""
    query = select(tasks).where(tasks.c.experiment == experiment, tasks.c.trial == number)
    return session.select(query.order_by(tasks.c.fold))


def checkpoint_of(session: Session, trial: Row[Any]) -> dict[str, Any] | None:
    """The newest checkpoint of a trial without folds, or the one that it began with: `{attempt, digest, step}`."""
    newest = [task.checkpoint for task in tasks_of(session, trial.experiment, trial.number)]
    text = newest[0] if len(newest) == 1 and newest[0] else trial.checkpoint
    return json.loads(text) if text else None


def completed_values(
    session: Session, experiment: str, names: Sequence[str], told: int = 0
) -> list[tuple[int, dict[str, float]]]:
    """Number and declared metrics of every completed trial behind place `told` of the history; scans them, so only for
    several objectives.
    """
    query = (
        select(trial_metrics.c.trial, trial_metrics.c.name, trial_metrics.c.value)
        .join(trials, and_(trials.c.experiment == trial_metrics.c.experiment, trials.c.number == trial_metrics.c.trial))
        .where(
            trial_metrics.c.experiment == experiment,
            trial_metrics.c.name.in_(list(names)),
            trials.c.state == TrialState.COMPLETED,
            trials.c.history_seq > told,
        )
    )
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for row in session.select(query):
        found[row.trial][row.name] = row.value
    return sorted(found.items())


def best_numbers(session: Session, experiment: str, metrics: Sequence[Metric], count: int) -> list[int]:
    """The completed trials with the best values of the first metric; those that keep every limit come first."""
    objective, value = metrics[0], trial_metrics.c.value
    query = (
        select(trial_metrics.c.trial)
        .join(trials, and_(trials.c.experiment == trial_metrics.c.experiment, trials.c.number == trial_metrics.c.trial))
        .where(
            trial_metrics.c.experiment == experiment,
            trial_metrics.c.name == objective.name,
            trials.c.state == TrialState.COMPLETED,
        )
    )
    for metric in metrics:
        if metric.limit is not None:
            query = query.order_by(case((_kept(metric.name, metric.limit), 0), else_=1))
    query = query.order_by(value.desc() if objective.goal == "maximize" else value, trial_metrics.c.trial)
    return [row[0] for row in session.select(query.limit(count))]


def _kept(name: str, limit: Limit) -> ColumnElement[bool]:
    """Whether the trial of the metric that is looked at keeps this limit; not where it did not report it."""
    other = trial_metrics.alias()
    found = select(other.c.value).where(
        other.c.experiment == trial_metrics.c.experiment,
        other.c.trial == trial_metrics.c.trial,
        other.c.name == name,
        other.c.value >= limit.bound if limit.least else other.c.value <= limit.bound,
    )
    return found.exists()


def finished_after(session: Session, experiment: str, told: int, limit: int) -> list[Any]:
    """Finished trials behind place `told` of the history, in its order: number, state, parameters, place, times."""
    return session.rows(hot.FINISHED_COLUMNS, {"experiment": experiment, "after": told, "limit": limit})


def values_between(session: Session, experiment: str, told: int, upto: int) -> list[Any]:
    """(trial, name, value) of every metric of the trials in that part of the history."""
    return session.rows(hot.VALUE_COLUMNS, {"experiment": experiment, "after": told, "upto": upto})


def without_history(session: Session, experiment: str) -> list[Any]:
    """Trials that are queued, running or cancelled, by number, like `finished_after`."""
    return session.rows(hot.OPEN_COLUMNS, {"experiment": experiment})


def values_of(session: Session, experiment: str, numbers: Sequence[int]) -> list[tuple[int, str, float]]:
    """(trial, name, value) of every metric of these trials."""
    found = metrics_of(session, experiment, numbers)
    return [(number, name, each["value"]) for number, named in found.items() for name, each in named.items()]


def of_numbers(session: Session, experiment: str, numbers: Sequence[int]) -> list[Row[Any]]:
    """These trials, in the order in which they are named."""
    query = select(trials).where(trials.c.experiment == experiment)
    found = {row.number: row for row in session.among(query, trials.c.number, numbers)}
    return [found[number] for number in numbers if number in found]


def places(session: Session, experiment: str, numbers: Sequence[int]) -> dict[int, int]:
    """The places of these finished trials in the order in which all did, from 1."""
    query = select(trials.c.number, trials.c.history_seq).where(trials.c.experiment == experiment)
    return dict(map(tuple, session.among(query, trials.c.number, numbers)))


def repeated(session: Session, experiment: str) -> int:
    """How many finished trials had a configuration that another one had before."""
    count = func.count() - func.count(trials.c.parameters.distinct())
    [[found]] = session.select(select(count).where(trials.c.experiment == experiment, trials.c.history_seq > 0))
    return int(found)


def configurations(session: Session, experiment: str) -> list[Configuration]:
    """Those of all trials but the cancelled ones, in no particular order."""
    query = select(trials.c.parameters).where(
        trials.c.experiment == experiment, trials.c.state != TrialState.CANCELLED.value
    )
    return [json.loads(row.parameters) for row in session.select(query)]


def failed_between(session: Session, experiment: str, told: int, upto: int) -> list[Any]:
    """(trial, reason as JSON) of those that failed in that part of the history."""
    return session.rows(hot.FAILED_BETWEEN, {"experiment": experiment, "after": told, "upto": upto})
