"""Rows of trials, their tasks, attempts and metrics: the cold queries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, delete, func, insert, select

from orchestune.domain.metrics import Limit, Metric
from orchestune.domain.space import Configuration
from orchestune.domain.states import AttemptState, TrialState
from orchestune.errors import NotFound
from orchestune.store import hot
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.tables import artifacts, attempts, points, tasks, trial_metrics, trials, usage, workers


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


def last_suggested(session: Session, experiment: str) -> int | None:
    """The newest trial that an engine suggested and nobody has begun."""
    begun = select(attempts.c.id).where(attempts.c.experiment == experiment, attempts.c.trial == trials.c.number)
    query = select(trials.c.number).where(
        trials.c.experiment == experiment,
        trials.c.state == TrialState.QUEUED,
        trials.c.engine_version.is_not(None),
        ~begun.exists(),
    )
    found = session.first(query.order_by(trials.c.number.desc()).limit(1))
    return found.number if found else None


def last_sources(session: Session, experiment: str, count: int) -> set[str]:
    """Where the newest trials come from."""
    query = select(trials.c.source).where(trials.c.experiment == experiment)
    return {row.source for row in session.select(query.order_by(trials.c.number.desc()).limit(count))}


def metrics_of(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, dict[str, dict[str, Any]]]:
    """number → name → {value, stddev}."""
    query = select(trial_metrics).where(
        trial_metrics.c.experiment == experiment, trial_metrics.c.trial.in_(list(numbers))
    )
    found: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in session.select(query.order_by(trial_metrics.c.declared.desc(), trial_metrics.c.name)):
        found[row.trial][row.name] = {"value": row.value, "stddev": row.stddev}
    return found


def attempts_of(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, list[Row[Any]]]:
    """number → attempts in the order of their leases, each with its worker's name."""
    query = (
        select(attempts, workers.c.name.label("worker_name"))
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(attempts.c.experiment == experiment, attempts.c.trial.in_(list(numbers)))
        .order_by(attempts.c.trial, attempts.c.fold, attempts.c.token)
    )
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in session.select(query):
        found[row.trial].append(row)
    return found


def live_attempts(session: Session, experiment: str, limit: int = 100) -> Sequence[Row[Any]]:
    """Attempts that hold a lease, with their worker's name and their trial's parameters."""
    by_trial = attempts.c.trial + 0  # a sum has no index: to be found by their state is what takes one
    query = (
        select(attempts, workers.c.name.label("worker_name"), trials.c.parameters)
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .join(trials, and_(trials.c.experiment == attempts.c.experiment, trials.c.number == attempts.c.trial))
        .where(attempts.c.experiment == experiment, attempts.c.state.in_(("leased", "running")))
        .order_by(by_trial, attempts.c.fold)
        .limit(limit)
    )
    return session.select(query)


def latest_points(session: Session, attempts_: Sequence[str], name: str) -> dict[str, tuple[float | None, float]]:
    """The newest (step, value) that each of these attempts reported of a metric."""
    newest = (
        select(points.c.attempt, func.max(points.c.sequence).label("sequence"))
        .where(points.c.attempt.in_(attempts_), points.c.name == name)
        .group_by(points.c.attempt)
        .subquery()
    )
    same = and_(points.c.attempt == newest.c.attempt, points.c.name == name, points.c.sequence == newest.c.sequence)
    query = select(points.c.attempt, points.c.step, points.c.value).join(newest, same)
    return {attempt: (step, value) for attempt, step, value in map(tuple, session.select(query))}


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
    query = (
        select(func.max(points.c.step), func.count(points.c.sequence), func.max(attempts.c.wall))
        .select_from(attempts)
        .join(points, and_(points.c.attempt == attempts.c.id, points.c.name == name), isouter=True)
        .where(
            attempts.c.experiment == experiment,
            attempts.c.trial.in_(numbers),
            attempts.c.state == AttemptState.SUCCEEDED,
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


def find_attempt(session: Session, attempt: str) -> Row[Any] | None:
    """One attempt by id."""
    return session.first(select(attempts).where(attempts.c.id == attempt))


def completed_values(session: Session, experiment: str, names: Sequence[str]) -> list[tuple[int, dict[str, float]]]:
    """Number and declared metrics of every completed trial; scans them, so only for several objectives."""
    query = (
        select(trial_metrics.c.trial, trial_metrics.c.name, trial_metrics.c.value)
        .join(trials, and_(trials.c.experiment == trial_metrics.c.experiment, trials.c.number == trial_metrics.c.trial))
        .where(
            trial_metrics.c.experiment == experiment,
            trial_metrics.c.name.in_(list(names)),
            trials.c.state == TrialState.COMPLETED,
        )
    )
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for row in session.select(query):
        found[row.trial][row.name] = row.value
    return sorted(found.items())


def artifacts_of(session: Session, experiment: str, number: int | None = None) -> Sequence[Row[Any]]:
    """Artifacts of one trial or of the whole experiment, by path."""
    query = select(artifacts).where(artifacts.c.experiment == experiment)
    if number is not None:
        query = query.where(artifacts.c.trial == number)
    return session.select(query.order_by(artifacts.c.trial, artifacts.c.path))


def put_artifact(session: Session, values: dict[str, Any]) -> None:
    """Record an artifact; a later attempt's file replaces the earlier one's."""
    session.change(
        delete(artifacts).where(
            artifacts.c.experiment == values["experiment"],
            artifacts.c.trial == values["trial"],
            artifacts.c.path == values["path"],
        )
    )
    session.change(insert(artifacts).values(**values))


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


def drop_artifacts(session: Session, experiment: str, kept: set[int]) -> None:
    """Forget the artifacts of finished trials other than `kept`."""
    over = select(trials.c.number).where(trials.c.experiment == experiment, trials.c.finished_at.is_not(None))
    session.change(
        delete(artifacts).where(
            artifacts.c.experiment == experiment, artifacts.c.trial.in_(over), artifacts.c.trial.not_in(kept)
        )
    )


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
    query = select(trials).where(trials.c.experiment == experiment, trials.c.number.in_(list(numbers)))
    found = {row.number: row for row in session.select(query)}
    return [found[number] for number in numbers if number in found]


def configurations(session: Session, experiment: str) -> list[Configuration]:
    """Those of all trials but the cancelled ones, in no particular order."""
    query = select(trials.c.parameters).where(
        trials.c.experiment == experiment, trials.c.state != TrialState.CANCELLED.value
    )
    return [json.loads(row.parameters) for row in session.select(query)]


def usage_of(session: Session, experiment: str, number: int) -> Sequence[Row[Any]]:
    """What each attempt of a trial used (fold, token, state, started_at, samples), in order."""
    query = (
        select(attempts.c.fold, attempts.c.token, attempts.c.state, attempts.c.started_at, usage.c.samples)
        .join(usage, usage.c.attempt == attempts.c.id)
        .where(attempts.c.experiment == experiment, attempts.c.trial == number)
    )
    return session.select(query.order_by(attempts.c.fold, attempts.c.token))


def points_of(
    session: Session, experiment: str, numbers: Sequence[int], most: int, name: str | None = None
) -> list[Any]:
    """What attempts of these trials reported while they ran, by trial, fold, attempt and time: at most about `most`
    values of each name, every k-th and the last; with how many there are. The step is counted where none was said.
    """
    curve = (points.c.attempt, points.c.name)
    place = func.row_number().over(partition_by=curve, order_by=points.c.sequence) - 1
    query = (
        select(
            attempts.c.trial,
            attempts.c.fold,
            attempts.c.token,
            points.c.name,
            func.coalesce(points.c.step, place).label("step"),
            points.c.value,
            place.label("place"),
            func.count().over(partition_by=curve).label("reported"),
        )
        .join(points, points.c.attempt == attempts.c.id)
        .where(attempts.c.experiment == experiment, attempts.c.trial.in_(list(numbers)))
    )
    if name is not None:
        query = query.where(points.c.name == name)
    found = query.subquery().c
    kept = (found.place % ((found.reported - 1) // most + 1) == 0) | (found.place == found.reported - 1)
    shown = select(found.trial, found.fold, found.token, found.name, found.step, found.value, found.reported)
    return list(
        session.select(shown.where(kept).order_by(found.trial, found.fold, found.token, found.name, found.place))
    )


def with_points(session: Session, experiment: str, limit: int) -> list[int]:
    """The newest trials that reported values while they ran."""
    query = (
        select(attempts.c.trial)
        .where(attempts.c.experiment == experiment, attempts.c.points > 1)
        .group_by(attempts.c.trial)
        .order_by(attempts.c.trial.desc())
        .limit(limit)
    )
    return [row[0] for row in session.select(query)]


def newest_attempts(session: Session, experiment: str, limit: int) -> Sequence[Row[Any]]:
    """When and where the attempts of the newest trials ran, the newest first. Reads no others."""
    query = (
        select(
            attempts.c.trial,
            attempts.c.fold,
            attempts.c.token,
            attempts.c.state,
            attempts.c.leased_at,
            attempts.c.finished_at,
            attempts.c.node,
            workers.c.name.label("worker_name"),
        )
        .join(workers, workers.c.id == attempts.c.worker, isouter=True)
        .where(attempts.c.experiment == experiment)
        .order_by(attempts.c.trial.desc(), attempts.c.fold.desc(), attempts.c.token.desc())
        .limit(limit)
    )
    return sorted(session.select(query), key=lambda attempt: -attempt.leased_at)


def spans_between(session: Session, experiment: str, told: int, upto: int) -> list[Any]:
    """(trial, begin, end) of every attempt of the trials in that part of the history."""
    return session.rows(hot.SPANS_BETWEEN, {"experiment": experiment, "after": told, "upto": upto})


def open_spans(session: Session, experiment: str) -> list[Any]:
    """The same of the trials that are queued, running or cancelled."""
    return session.rows(hot.OPEN_SPANS, {"experiment": experiment})


def spans_of(session: Session, experiment: str, numbers: Sequence[int]) -> list[Any]:
    """The same of these trials."""
    if not numbers:
        return []
    query = select(attempts.c.trial, attempts.c.leased_at, attempts.c.finished_at)
    return list(session.select(query.where(attempts.c.experiment == experiment, attempts.c.trial.in_(numbers))))


def failed_between(session: Session, experiment: str, told: int, upto: int) -> list[Any]:
    """(trial, reason as JSON) of those that failed in that part of the history."""
    return session.rows(hot.FAILED_BETWEEN, {"experiment": experiment, "after": told, "upto": upto})
