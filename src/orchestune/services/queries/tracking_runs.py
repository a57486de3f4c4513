"""Convert the rows of an experiment and its trials to runs for a tracking server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestune.domain.lifecycle.states import ExperimentState, TrialState
from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.metrics import FIRST_HTTP_SEQUENCE, ReducedMetric
from orchestune.outgoing.mlflow import LoggedMetric
from orchestune.store import trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.tracking_runs import LastPoint, ReportedPoint, last_points, points_since
from orchestune.store.trials import TrialRow

EXPERIMENT_TAG, TRIAL_TAG = "orchestune.experiment", "orchestune.trial"
"""Tags that identify a run: the experiment's ID and the trial's number."""
PARENT_TAG = "mlflow.parentRunId"
MAX_POINTS = 5000
_MAX_STEP = 2**63
"""First step beyond MLflow's range (signed 64-bit)."""

STATUS: Mapping[str, str] = {
    TrialState.QUEUED: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.PRUNED: "KILLED",
    TrialState.CANCELLED: "KILLED",
}
_STATUS_OF_EXPERIMENT: Mapping[ExperimentState, str] = {
    ExperimentState.COMPLETED: "FINISHED",
    ExperimentState.FAILED: "FAILED",
    ExperimentState.STOPPED: "KILLED",
}


@dataclass(frozen=True)
class TrackedRun:
    """Desired state of a run on the tracking server."""

    trial: int
    name: str
    at: int
    """Start time in milliseconds since 1970."""
    status: str
    ended_at: int | None
    tags: Mapping[str, str]
    params: Mapping[str, Value] = field(default_factory=dict)
    measures: Sequence[LoggedMetric] = ()
    reported_at: float = 0.0
    """Time at which the last of the measures was reported."""
    more: bool = False
    """True if there are more measures than `MAX_POINTS`, the limit of one upload."""


def of_experiment(row: ExperimentRow) -> TrackedRun:
    """Return the parent run, which contains the runs of the trials."""
    state = row.state
    tags = {EXPERIMENT_TAG: row.id, TRIAL_TAG: "0", "orchestune.handle": row.handle, "orchestune.state": state}
    tags |= {"mlflow.user": row.owner, **_reason(row.reason_json)}
    tags |= {"orchestune.best_trial": f"{row.handle}/{row.best_trial}"} if row.best_trial is not None else {}
    measures = []
    if row.best_value is not None and row.best_trial is not None:
        at = _milliseconds(row.finished_at or row.started_at or row.created_at)
        measures = [LoggedMetric(f"best {row.specification.objective.name}", row.best_value, at, row.finished)]
    ended = _milliseconds(row.finished_at) if state.over and row.finished_at is not None else None
    status = _STATUS_OF_EXPERIMENT.get(state, "RUNNING")
    return TrackedRun(0, row.handle, _milliseconds(row.created_at), status, ended, tags, {}, measures)


def of_trials(session: Session, row: ExperimentRow, since: Mapping[int, float]) -> list[TrackedRun]:
    """Return the runs of these trials with the points reported since the given times; `since`: trial → time."""
    measured = trials.metrics_of(session, row.id, since)
    return [
        _of_trial(session, row, trial, since[trial.number], measured.get(trial.number, {}))
        for trial in trials.of_numbers(session, row.id, sorted(since))
    ]


def _of_trial(
    session: Session, row: ExperimentRow, trial: TrialRow, since: float, measured: Mapping[str, ReducedMetric]
) -> TrackedRun:
    points = points_since(session, row.id, trial.number, since, MAX_POINTS)
    more = len(points) >= MAX_POINTS and points[-1].at > since
    folds = row.specification.folds.count > 1
    if trial.finished_at is not None and since and not more:  # send all again: MLflow drops duplicates
        all_points = points_since(session, row.id, trial.number, 0.0, MAX_POINTS)
        points = all_points if len(all_points) < MAX_POINTS else points
    measures = _measures(points, folds)
    if trial.finished_at is not None and not more:
        of_folds = _of_folds(session, row, trial.number) if folds else {}
        last = last_points(session, row.id, trial.number, FIRST_HTTP_SEQUENCE)
        measures += _final({**measured, **of_folds}, {_name(one, folds): one for one in last}, trial.finished_at)
    name = f"{row.handle}/{trial.number}"
    tags = {EXPERIMENT_TAG: row.id, TRIAL_TAG: str(trial.number), "orchestune.handle": name}
    tags |= {"orchestune.state": trial.state, "orchestune.source": trial.source, "mlflow.user": row.owner}
    return TrackedRun(
        trial.number,
        name,
        _milliseconds(trial.started_at or trial.created_at),
        STATUS[trial.state],
        _milliseconds(trial.finished_at) if trial.finished_at is not None else None,
        tags | _reason(trial.reason),
        trial.configuration,
        measures,
        points[-1].at if points else since,
        more,
    )


def _measures(points: Iterable[ReportedPoint], folds: bool) -> list[LoggedMetric]:
    """Convert points to measures; a point without a step gets its position in the attempt's report as step."""
    measures = []
    for point in points:
        step = point.sequence % FIRST_HTTP_SEQUENCE if point.step is None else point.step
        measures.append(LoggedMetric(_name(point, folds), point.value, _milliseconds(point.at), _step(step)))
    return measures


def _final(measured: Mapping[str, ReducedMetric], last: Mapping[str, LastPoint], at: float) -> list[LoggedMetric]:
    """Return the final values that differ from the last reported ones, each one step after the last reported step."""
    return [
        LoggedMetric(name, final.value, _milliseconds(at), _step(_step(last[name].step) + 1) if name in last else 0)
        for name, final in measured.items()
        if name not in last or last[name].value != final.value
    ]


def _name(point: ReportedPoint | LastPoint, folds: bool) -> str:
    return f"fold {point.fold}/{point.name}" if folds else point.name


def _step(step: float) -> int:
    """Round the step and clip it to MLflow's range."""
    return min(max(round(step), -_MAX_STEP), _MAX_STEP - 1)


def _of_folds(session: Session, row: ExperimentRow, number: int) -> dict[str, ReducedMetric]:
    """Return the final values of each fold, keyed by names such as `fold 0/loss`."""
    return {
        f"fold {task.fold}/{name}": measured
        for task in trials.folds_of(session, row.id, number)
        for name, measured in task.measured.items()
    }


def _reason(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    reason = json.loads(text)
    return {"orchestune.reason": reason["code"], "mlflow.note.content": reason["message"] or reason["code"]}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
