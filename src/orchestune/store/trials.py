"""Cold queries on trials, their folds and metrics."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, case, func, select

from orchestune.domain.lifecycle.states import AttemptState, TrialState, WorkerState
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.specification.metrics import Limit, Metric, ReducedMetric
from orchestune.errors import NotFound
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.history import (
    COUNT_VALUES,
    FINISHED_COLUMNS,
    OPEN_COLUMNS,
    VALUE_COLUMNS,
    ColumnRows,
    FinishedColumns,
    ValueColumns,
)
from orchestune.store.statements.spans import FAILED_BETWEEN, FailedTrial
from orchestune.store.tables import attempts, events, experiments, folds, points, trial_metrics, trials, workers

if TYPE_CHECKING:
    from orchestune.documents import trials as documents


class TrialRow(Struct, frozen=True, gc=False):
    """A row of `trials`. JSON: `reason`, `parameters`, `initial_checkpoint`."""

    experiment: str
    number: int
    state: documents.TrialState
    reason: str | None
    parameters: str
    source: str
    engine_version: str | None
    suggested_after: int | None
    history_seq: int | None
    parent: int | None
    seed: int
    bundle: str | None
    revision: int
    initial_checkpoint: str | None
    lost_attempts: int
    is_isolated: bool
    created_at: float
    started_at: float | None
    finished_at: float | None

    @property
    def configuration(self) -> dict[str, Value]:
        """The parsed parameters."""
        configuration: dict[str, Value] = json.loads(self.parameters)
        return configuration


class FoldRow(Struct, frozen=True, gc=False):
    """One fold of a trial. JSON: `metrics`, `checkpoint`."""

    experiment: str
    trial: int
    fold: int
    state: documents.FoldState
    not_before: float
    metrics: str | None
    checkpoint: str | None
    lease_token: int
    failures: int
    is_isolated: bool
    memory: int
    memory_raises: int

    @property
    def measured(self) -> dict[str, ReducedMetric]:
        """The parsed metrics by name; empty until the fold is done, and if the trial has no folds."""
        metrics = json.loads(self.metrics) if self.metrics else {}
        return {name: ReducedMetric(each["value"], each.get("stddev")) for name, each in metrics.items()}


class MetricRow(Struct, frozen=True, gc=False):
    """The final value of a metric of a trial."""

    experiment: str
    trial: int
    name: str
    value: float
    stddev: float | None
    is_declared: bool

    @property
    def measured(self) -> ReducedMetric:
        """The value with its standard deviation."""
        return ReducedMetric(self.value, self.stddev)


class MeasuredTrial(Struct, frozen=True):
    """A trial with its metrics."""

    number: int
    configuration: dict[str, Value]
    metrics: dict[str, ReducedMetric]


class AttemptProgress(Struct, frozen=True, gc=False):
    """Progress of an attempt: its last step, the number of its values, and its wall time in seconds."""

    step: float
    values: int
    seconds: float


def get(session: Session, experiment: str, number: int) -> TrialRow | None:
    """Return one trial, None if absent."""
    return session.first(select(trials).where(trials.c.experiment == experiment, trials.c.number == number), TrialRow)


def need(session: Session, experiment: ExperimentRow, number: int) -> TrialRow:
    """Return one trial. Raises NotFound if absent."""
    trial = get(session, experiment.id, number)
    if trial is None:
        raise NotFound(f"{experiment.handle} has no trial {number}", f"it has {experiment.last_trial} so far")
    return trial


def page(session: Session, experiment: str, after: int, limit: int, state: str | None) -> list[TrialRow]:
    """Return up to `limit` trials with a number above `after`, ordered by number."""
    query = select(trials).where(trials.c.experiment == experiment, trials.c.number > after)
    if state:
        query = query.where(trials.c.state == state)
    return session.select(query.order_by(trials.c.number).limit(limit), TrialRow)


def suggested(session: Session, experiment: str, count: int) -> list[int]:
    """Return up to `count` newest queued trials that an engine suggested and that have no attempt."""
    begun = select(attempts.c.id).where(attempts.c.experiment == experiment, attempts.c.trial == trials.c.number)
    query = select(trials.c.number).where(
        trials.c.experiment == experiment,
        trials.c.state == TrialState.QUEUED,
        trials.c.engine_version.is_not(None),
        ~begun.exists(),
    )
    return session.select(query.order_by(trials.c.number.desc()).limit(count), int)


def tried_first(session: Session, experiment: str) -> int:
    """Return the number of used `try_first` configurations; requeued ones have a parent and are not counted."""
    query = select(func.count()).where(
        trials.c.experiment == experiment, trials.c.source == "try_first", trials.c.parent.is_(None)
    )
    return session.first(query, int) or 0


class _Child(Struct, frozen=True, gc=False):
    parent: int
    number: int


def stopped_with_all(session: Session, experiment: str) -> list[TrialRow]:
    """Return the trials with user-defined configurations that the last stop cancelled.

    Only a stop of the whole experiment counts, and only trials that have not been queued again since.
    """
    cancelled = and_(trials.c.experiment == experiment, trials.c.state == TrialState.CANCELLED)
    ends = select(trials.c.finished_at).where(cancelled, trials.c.finished_at.is_not(None))
    last = session.first(ends.order_by(trials.c.finished_at.desc()).limit(1), float)
    then = select(events.c.seq).where(
        events.c.experiment == experiment, events.c.kind == "experiment_state", events.c.at == last
    )
    if last is None or session.first(then.limit(1), int) is None:
        return []
    named = and_(cancelled, trials.c.engine_version.is_(None), trials.c.finished_at == last)
    stopped = session.select(select(trials).where(named).order_by(trials.c.number), TrialRow)
    children = (
        select(trials.c.parent, func.max(trials.c.number).label("number"))
        .where(trials.c.experiment == experiment, trials.c.parent.is_not(None))
        .group_by(trials.c.parent)
    )
    newest = {child.parent: child.number for child in session.select(children, _Child)}
    return [row for row in stopped if newest.get(row.number if row.parent is None else row.parent, 0) <= row.number]


def may_still_run(session: Session, experiment: str) -> bool:
    """Return True if a cancelled attempt has not been reported as ended and its worker may still run it."""
    query = select(attempts.c.id).join(workers, workers.c.id == attempts.c.worker)
    query = query.where(
        attempts.c.experiment == experiment,
        attempts.c.state == AttemptState.CANCELLED,
        attempts.c.log_bytes.is_(None),
        workers.c.state != WorkerState.ENDED,
    )
    return session.first(query.limit(1), str) is not None


class _Source(Struct, frozen=True, gc=False):
    experiment: str
    source: str


def last_sources(session: Session, among: Sequence[str], count: int) -> dict[str, set[str]]:
    """Return the sources of the newest `count` trials of each of these experiments."""
    newest = and_(trials.c.experiment == experiments.c.id, trials.c.number > experiments.c.last_trial - count)
    query = select(trials.c.experiment, trials.c.source).distinct().join(experiments, newest)
    sources: dict[str, set[str]] = {experiment: set() for experiment in among}
    for row in session.among(query, experiments.c.id, among, _Source):
        sources[row.experiment].add(row.source)
    return sources


def with_best_value(session: Session, among: Sequence[str], *, only_declared: bool = False) -> dict[str, MeasuredTrial]:
    """Return the trial with the best value of each of these experiments, with all or `only_declared` metrics."""
    best = and_(trials.c.experiment == experiments.c.id, trials.c.number == experiments.c.best_trial)
    query = select(trials).join(experiments, best)
    best_trials = {
        row.experiment: MeasuredTrial(row.number, row.configuration, {})
        for row in session.among(query, experiments.c.id, among, TrialRow)
    }
    of_best = and_(trial_metrics.c.experiment == experiments.c.id, trial_metrics.c.trial == experiments.c.best_trial)
    values = select(trial_metrics).join(experiments, of_best)
    if only_declared:
        values = values.where(trial_metrics.c.is_declared)
    values = values.order_by(trial_metrics.c.is_declared.desc(), trial_metrics.c.name)
    for metric in session.among(values, experiments.c.id, among, MetricRow):
        best_trials[metric.experiment].metrics[metric.name] = metric.measured
    return best_trials


def metrics_of(session: Session, experiment: str, numbers: Iterable[int]) -> dict[int, dict[str, ReducedMetric]]:
    """Return the metrics of these trials by number and name, declared metrics first."""
    metrics: dict[int, dict[str, ReducedMetric]] = defaultdict(dict)
    for metric in _metric_rows(session, experiment, numbers):
        metrics[metric.trial][metric.name] = metric.measured
    return metrics


def _metric_rows(session: Session, experiment: str, numbers: Iterable[int]) -> list[MetricRow]:
    query = select(trial_metrics).where(trial_metrics.c.experiment == experiment)
    query = query.order_by(trial_metrics.c.is_declared.desc(), trial_metrics.c.name)
    return session.among(query, trial_metrics.c.trial, numbers, MetricRow)


def dominated(
    session: Session, experiment: str, metrics: Sequence[Metric], number: int, values: Mapping[str, float]
) -> bool:
    """Return True if another completed trial within every limit is at least as good in each of these values."""
    query = select(trials.c.number).where(
        trials.c.experiment == experiment, trials.c.state == TrialState.COMPLETED, trials.c.number != number
    )
    for metric in metrics:
        other = trial_metrics.alias()
        same = and_(
            other.c.experiment == trials.c.experiment, other.c.trial == trials.c.number, other.c.name == metric.name
        )
        query = query.join(other, same)
        if metric.name in values:
            value = values[metric.name]
            query = query.where(other.c.value >= value if metric.goal == "maximize" else other.c.value <= value)
        if metric.limit is not None:
            bound = metric.limit.bound
            query = query.where(other.c.value >= bound if metric.limit.least else other.c.value <= bound)
    return session.first(query.limit(1), int) is not None


class _LastPoint(Struct, frozen=True, gc=False):
    step: float | None
    count: int
    wall: float | None


def reached(session: Session, experiment: str, name: str, count: int) -> list[AttemptProgress]:
    """Return the progress at which succeeded attempts of the newest completed trials last reported a metric.

    A single value is the result of the trial, not an intermediate one. Attempts without points count as one value.
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
    numbers = session.select(newest, int)
    # an expression has no index, so that the planner uses the index by trial
    state = attempts.c.state.concat("")
    query = (
        select(
            func.max(points.c.step).label("step"),
            func.count(points.c.sequence).label("count"),
            func.max(attempts.c.wall_seconds).label("wall"),
        )
        .select_from(attempts)
        .join(points, and_(points.c.attempt == attempts.c.id, points.c.name == name), isouter=True)
        .where(
            attempts.c.experiment == experiment,
            attempts.c.trial.in_(numbers),
            state == AttemptState.SUCCEEDED,
        )
        .group_by(attempts.c.id)
    )
    return [
        AttemptProgress(
            float(max(last.count, 1) if last.step is None else last.step), max(last.count, 1), last.wall or 0.0
        )
        for last in session.select(query, _LastPoint)
    ]


def folds_of(session: Session, experiment: str, number: int) -> list[FoldRow]:
    """Return the folds of a trial, ordered by fold."""
    query = select(folds).where(folds.c.experiment == experiment, folds.c.trial == number)
    return session.select(query.order_by(folds.c.fold), FoldRow)


def checkpoint_of(session: Session, trial: TrialRow) -> documents.Checkpoint | None:
    """Return the newest checkpoint of a trial without folds, or else its initial checkpoint."""
    newest = [fold.checkpoint for fold in folds_of(session, trial.experiment, trial.number)]
    text = newest[0] if len(newest) == 1 and newest[0] else trial.initial_checkpoint
    return json.loads(text) if text else None


class _Value(Struct, frozen=True, gc=False):
    trial: int
    name: str
    value: float


def completed_values(
    session: Session, experiment: str, names: Sequence[str], after: int = 0
) -> dict[int, dict[str, float]]:
    """Return the values of these metrics of completed trials with `history_seq > after`, by trial number.

    Scans these trials, so use it only for several objectives.
    """
    query = (
        select(trial_metrics.c.trial, trial_metrics.c.name, trial_metrics.c.value)
        .join(trials, and_(trials.c.experiment == trial_metrics.c.experiment, trials.c.number == trial_metrics.c.trial))
        .where(
            trial_metrics.c.experiment == experiment,
            trial_metrics.c.name.in_(list(names)),
            trials.c.state == TrialState.COMPLETED,
            trials.c.history_seq > after,
        )
    )
    values: dict[int, dict[str, float]] = defaultdict(dict)
    for row in session.select(query, _Value):
        values[row.trial][row.name] = row.value
    return dict(sorted(values.items()))


def best_numbers(session: Session, experiment: str, metrics: Sequence[Metric], count: int) -> list[int]:
    """Return up to `count` completed trials with the best first metric; those within every limit come first."""
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
            query = query.order_by(case((_is_within(metric.name, metric.limit), 0), else_=1))
    query = query.order_by(value.desc() if objective.goal == "maximize" else value, trial_metrics.c.trial)
    return session.select(query.limit(count), int)


def _is_within(name: str, limit: Limit) -> ColumnElement[bool]:
    """Return a condition that is true if the trial of a `trial_metrics` row reported `name` within `limit`."""
    other = trial_metrics.alias()
    keeps = select(other.c.value).where(
        other.c.experiment == trial_metrics.c.experiment,
        other.c.trial == trial_metrics.c.trial,
        other.c.name == name,
        other.c.value >= limit.bound if limit.least else other.c.value <= limit.bound,
    )
    return keeps.exists()


def finished_after(session: Session, experiment: str, after: int, limit: int) -> FinishedColumns:
    """Return up to `limit` finished trials with `history_seq > after`, in history order."""
    return session.columns(FINISHED_COLUMNS, {"experiment": experiment, "after": after, "limit": limit})


def count_values(session: Session, experiment: str, after: int, upto: int) -> int:
    """Return the number of metrics of all trials with `after < history_seq <= upto`."""
    return session.row(COUNT_VALUES, {"experiment": experiment, "after": after, "upto": upto}) or 0


def values_between(session: Session, experiment: str, after: int, upto: int) -> ValueColumns:
    """Return every metric of the trials with `after < history_seq <= upto`."""
    return session.columns(VALUE_COLUMNS, {"experiment": experiment, "after": after, "upto": upto})


def without_history(session: Session, experiment: str) -> ColumnRows:
    """Return the queued, running and cancelled trials, ordered by number."""
    return session.columns(OPEN_COLUMNS, {"experiment": experiment})


def values_of(session: Session, experiment: str, numbers: Sequence[int]) -> ValueColumns:
    """Return every metric of these trials."""
    rows = _metric_rows(session, experiment, numbers)
    return ValueColumns([row.trial for row in rows], [row.name for row in rows], [row.value for row in rows])


def of_numbers(session: Session, experiment: str, numbers: Sequence[int]) -> list[TrialRow]:
    """Return these trials in the order of `numbers`; absent ones are left out."""
    query = select(trials).where(trials.c.experiment == experiment)
    rows = {row.number: row for row in session.among(query, trials.c.number, numbers, TrialRow)}
    return [rows[number] for number in numbers if number in rows]


class _Place(Struct, frozen=True, gc=False):
    number: int
    history_seq: int


def places(session: Session, experiment: str, numbers: Sequence[int]) -> dict[int, int]:
    """Return the places of these trials in the history, from 1; unfinished ones are left out."""
    query = select(trials.c.number, trials.c.history_seq)
    query = query.where(trials.c.experiment == experiment, trials.c.history_seq.is_not(None))
    return {row.number: row.history_seq for row in session.among(query, trials.c.number, numbers, _Place)}


def repeated(session: Session, experiment: str) -> int:
    """Return the number of finished trials whose configuration an earlier one had."""
    count = (func.count() - func.count(trials.c.parameters.distinct())).label("count")
    query = select(count).where(trials.c.experiment == experiment, trials.c.history_seq > 0)
    return session.first(query, int) or 0


def configurations(session: Session, experiment: str) -> list[Configuration]:
    """Return the configurations of all trials except cancelled ones, in no particular order."""
    query = select(trials.c.parameters).where(
        trials.c.experiment == experiment, trials.c.state != TrialState.CANCELLED.value
    )
    return [json.loads(parameters) for parameters in session.select(query, str)]


def failed_between(session: Session, experiment: str, after: int, upto: int) -> list[FailedTrial]:
    """Return the failed trials with `after < history_seq <= upto`."""
    return session.rows(FAILED_BETWEEN, {"experiment": experiment, "after": after, "upto": upto})
