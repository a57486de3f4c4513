"""Experiment documents of the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import isfinite
from typing import TypeVar, cast

from orchestune import documents
from orchestune.domain.lifecycle.states import Desired, Reason, ReasonCode, Visibility, WorkerState
from orchestune.domain.lifecycle.time_left import LAST, pace
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.descriptions import doing
from orchestune.errors import UsageError
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Caller, Core
from orchestune.services.ownership import is_authenticated, is_proven_owner
from orchestune.services.queries import best_trials
from orchestune.services.queries.pruning_diagnosis import unpruned
from orchestune.services.queries.trial_resources import allocated
from orchestune.store import attempts, experiment_lists, experiments, logs, trials, warm_starts, workers
from orchestune.store.experiment_lists import OwnedBy
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.statements.spans import LAST_SPANS, RUN_SO_FAR
from orchestune.store.workers import WorkerLoad

_T = TypeVar("_T")
_LATEST_SUGGESTIONS = 16
"""Number of latest suggestions from which the current phase of the search is derived."""
_MAX_ENDED_WORKERS = 50
"""Upper bound of the ended workers shown: an experiment of weeks may have had thousands."""
_CURVE_POINTS = 24
"""Upper bound of the values in the curve of a running trial."""
_MAX_CURVES = 30
"""Upper bound of the running trials with a curve: a client polls the status, and shows no more of them."""
_MAX_EVENT_BYTES = 4 * 2**20
"""Upper bound of the data of the events on one page."""
_STORE_FULL = (
    "the disk of the store is full: recording and scheduling resume once space is freed"
    " (`orchestune doctor` shows where); nothing is lost"
)


class EventBatch(documents.EventPage):
    """Page of events for streams."""

    more: bool
    """True if more events may be available already."""
    over: bool
    """True if no more events will follow."""


def resolve(core: Core, ref: str) -> str:
    """Return the ID of the experiment that `ref` names."""
    with core.store.reading() as session:
        return experiments.find(session, ref).id


def status(core: Core, ref: str) -> documents.Status:
    """Return one `Status`, including running trials and workers."""
    return _with_fresh_best(core, ref, lambda session, row: status_of(core, session, row, details=True))


def statuses(
    core: Core,
    folder: str | None = None,
    limit: int = 50,
    before: str | None = None,
    hidden: bool = False,
    details: bool = False,
    owned_by: OwnedBy | None = None,
) -> documents.StatusPage:
    """Return a page of `Status`, newest first, without running trials and workers unless `details`.

    `next` is the cursor for `before`.
    """
    with core.store.reading() as session:
        cursor = float(before) if before else None
        rows = experiment_lists.page(
            session, folder=folder, limit=limit + 1, before=cursor, hidden=hidden, owned_by=owned_by
        )
        items = statuses_of_ids(core, session, [row.id for row in rows[:limit]], details=details)
    return {"items": items, "next": repr(rows[limit - 1].created_at) if len(rows) > limit else None}


def specification(
    core: Core, ref: str, revision: int | None = None, caller: Caller | None = None
) -> documents.Specification:
    """Return the current specification and launch options, or those of `revision`, such as one of a trial."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        specification, launch = experiments.at_revision(session, row, revision or row.revision)
    return {
        "specification": specification.to_json()
        | {
            "budget": row.budget,
            "parallelism": row.parallelism,
            "priority": row.priority,
            "labels": json.loads(row.labels_json),
        },
        "launch": {**launch},
        "bundle": row.bundle,
        "revision": revision or row.revision,
        "origin": row.rerun_of,
        "owned_by_caller": caller is not None and is_proven_owner(core, caller, row),
    }


def best(core: Core, ref: str) -> list[documents.Best]:
    """Return the best trial, or the Pareto front."""
    return _with_fresh_best(core, ref, lambda session, row: best_trials.of_all(core, session, [row])[row.id])


def _with_fresh_best(core: Core, ref: str, build: Callable[[Session, ExperimentRow], _T]) -> _T:
    """Return the result of `build` for an experiment, with the best trial of a noisy search up to date.

    An experiment that ended while the model was fitted is read again: the model misses some results, and a client that
    sees the final state does not ask again.
    """
    while True:
        before = estimated(core, ref)
        with core.store.reading() as session:
            row = experiments.find(session, ref)
            if before.state.over or not row.state.over:
                return build(session, row)


def estimated(core: Core, ref: str) -> ExperimentRow:
    """Refresh the estimated best of a noisy search; return the experiment's row read before the refresh."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
    core.estimates.refresh(core.store, row)
    return row


def declared(row: ExperimentRow, name: str | None) -> Metric:
    """Return the declared metric `name`, by default the first one. Raises UsageError if it is unknown."""
    metrics = row.specification.metrics
    if name is None:
        return metrics[0]
    for metric in metrics:
        if metric.name == name:
            return metric
    names = ", ".join(metric.name for metric in metrics)
    raise UsageError(f"{row.handle} has no metric '{name}'", f"it has {names}")


def events(
    core: Core, ref: str, after: int, limit: int, kinds: Sequence[str] = (), most: int = _MAX_EVENT_BYTES
) -> EventBatch:
    """Return events after `after` (of `kinds`, by default all), the next cursor, and the flags `more` and `over`.

    `more`: more events may be available; a page of large ones may have fewer than `limit`. `over`: ended and all read.
    """
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        upto = logs.last_event_within(session, row.id, after, limit, kinds, most)
        page = logs.events_after(session, row.id, after, limit, kinds, upto)
    items: list[documents.Event] = [
        {"seq": e.seq, "at": rfc3339(e.at), "actor": e.actor, "kind": e.kind, "data": json.loads(e.data)} for e in page
    ]
    more = upto is not None or len(items) >= limit
    last = max(row.event_seq, after) if not more else items[-1]["seq"] if upto is None else upto
    return {"items": items, "next": last, "more": more, "over": row.state.over and last >= row.event_seq}


def status_of(core: Core, session: Session, row: ExperimentRow, *, details: bool) -> documents.Status:
    """Return the `Status` of a row that was read in this session."""
    return _statuses_of(core, session, [row], details=details, is_list=False)[0]


def statuses_of(
    core: Core, session: Session, rows: Sequence[ExperimentRow], *, details: bool
) -> list[documents.Status]:
    """Return the `Status` of several rows; finished experiments take as many queries together as one alone."""
    return _statuses_of(core, session, rows, details=details, is_list=True)


def _statuses_of(
    core: Core, session: Session, rows: Sequence[ExperimentRow], *, details: bool, is_list: bool
) -> list[documents.Status]:
    best = best_trials.of_all(core, session, rows, only_declared=is_list)
    statuses = [_document(core, session, row, best[row.id]) for row in rows]
    if details:
        _add_details(core, session, rows, statuses)
        return statuses
    for row, document in zip(rows, statuses, strict=True):
        if waits := _waits(core, row):
            document["notes"] = [waits]
    return statuses


_ROWS_AT_ONCE = 25
"""Rows in memory of a long list: each may take a MiB."""


def statuses_of_ids(core: Core, session: Session, ids: Sequence[str], *, details: bool) -> list[documents.Status]:
    """Return the `Status` of each of these experiments that exists and can be parsed, in this order."""
    parts = (ids[start : start + _ROWS_AT_ONCE] for start in range(0, len(ids), _ROWS_AT_ONCE))
    rows = (experiment_lists.readable(experiment_lists.of_ids(session, part)) for part in parts)
    return [status for part in rows for status in statuses_of(core, session, part, details=details)]


def _document(core: Core, session: Session, row: ExperimentRow, best: list[documents.Best]) -> documents.Status:
    return {
        "schema": 1,
        "id": row.id,
        "handle": row.handle,
        "name": row.name,
        "owner": row.owner,
        "owner_authenticated": is_authenticated(core, row),
        "cluster": row.cluster,
        "state": cast("documents.ExperimentState", row.state),
        "desired": cast("documents.DesiredState", row.desired),
        "reason": _reason(row),
        "budget": row.budget,
        "parallelism": row.parallelism,
        "folds": row.specification.folds.count,
        "priority": row.priority,
        "labels": json.loads(row.labels_json),
        "revision": row.revision,
        "engine": row.specification.engine,
        "metrics": [metric.to_json() for metric in row.specification.metrics],
        "counts": {
            "queued": row.queued,
            "running": row.running,
            "completed": row.completed,
            "failed": row.failed,
            "pruned": row.pruned,
            "cancelled": row.cancelled,
        },
        "best": best,
        "origin": row.rerun_of,
        "eta_seconds": _eta(session, row),
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
        "idle_seconds": round(row.idle_seconds, 3),
        "url": f"{core.url}/experiments/{row.handle}",
    }


def _add_details(
    core: Core, session: Session, rows: Sequence[ExperimentRow], statuses: Sequence[documents.Status]
) -> None:
    """Add the fields that lists omit to the `Status` of each row."""
    ids = [row.id for row in rows]
    warm_summaries, sources = (
        warm_starts.summaries(session, ids),
        trials.last_sources(session, ids, _LATEST_SUGGESTIONS),
    )
    loads = workers.with_recent_ended(session, {row.id: row.specification.grace for row in rows}, _MAX_ENDED_WORKERS)
    for row, document in zip(rows, statuses, strict=True):
        specification, warm = row.specification, warm_summaries.get(row.id)
        results = row.completed + (warm.count if warm else 0)
        document["search"] = doing(
            specification.engine,
            specification.metrics,
            specification.engine_options,
            results,
            row.open,
            sources[row.id],
            pruned=row.pruned,
            failed=row.failed,
        )
        document["notes"] = _notes(core, session, row)
        document["warm_start"] = {"source": warm.source, "results": warm.count} if warm else None
        document["files_dropped_at"] = rfc3339(row.files_deleted_at)
        document["running"] = _running(session, row) if row.live_attempts else []
        document["resources"] = _resources(core, row)
        document["workers"] = [_worker(worker) for worker in loads[row.id].workers]
        document["workers_left_out"] = loads[row.id].left_out


def _notes(core: Core, session: Session, row: ExperimentRow) -> list[str]:
    is_searching = bool(row.awaits_suggestion) and row.can_start_trials
    text = "searching the grid for the next configuration that satisfies the constraints"
    notes = [_deleted(row), _waits(core, row), text if is_searching else None, unpruned(session, row)]
    return [note for note in notes if note is not None]


def _waits(core: Core, row: ExperimentRow) -> str | None:
    return _STORE_FULL if core.store.full and not row.state.over else None


def _deleted(row: ExperimentRow) -> str | None:
    """Return a note on a hidden or purged experiment with the possible commands; None if it is listed."""
    if row.visibility is Visibility.PURGING:
        return "deleted: its records, logs and files are removed as soon as none of its workers runs"
    back = "`resume`, or `extend` with a larger budget, lists it again"
    purge = f"`orchestune delete {row.handle} --purge` removes its records, logs and files permanently"
    return f"deleted: hidden from lists; {purge}; {back}" if row.visibility is Visibility.HIDDEN else None


def _running(session: Session, row: ExperimentRow) -> list[documents.RunningTrial]:
    """Return the live attempts, each with its latest value of the objective and a coarse curve."""
    live = attempts.live(session, row.id)
    running: list[documents.RunningTrial] = []
    for index, attempt in enumerate(live):
        most = _CURVE_POINTS if index < _MAX_CURVES else 1
        points = attempts.spaced_points(session, attempt.id, row.specification.objective.name, most)
        point = points[-1] if points else None
        running.append(
            {
                "trial": attempt.trial,
                "attempt": attempt.id,
                "worker": attempt.worker_name,
                "started_at": rfc3339(attempt.started_at or attempt.leased_at),
                "parameters": json.loads(attempt.parameters),
                "latest": {"step": point.step, "value": point.value} if point and isfinite(point.value) else None,
                "curve": [point.value for point in points if isfinite(point.value)],
                "ending": attempt.stop_order is not None,
            }
        )
    return running


def _resources(core: Core, row: ExperimentRow) -> documents.RoomForTrials:
    """Return the resources requested per trial, the measured peaks, and what is allocated for the next trial."""
    requested, peaks, backend = row.specification.resources, row.peaks, core.backends.get(row.cluster)
    return {
        "asked": requested.to_json(),
        "measured": {"attempts": peaks.count, "peak_memory_bytes": peaks.highest} if peaks.count else None,
        "set_aside": (allocated(backend, row) if backend is not None else requested).to_json(),
    }


def _worker(worker: WorkerLoad) -> documents.Worker:
    state = worker.state
    if state == WorkerState.ALIVE:
        state = "busy" if worker.running or worker.ending else "idle"
    return {
        "id": worker.id,
        "name": worker.name,
        "node": worker.node,
        "state": state,
        "slots": worker.slots,
        "running": worker.running,
        "succeeded": worker.succeeded,
        "failed": worker.failed,
        "reason": worker.reason,
        "sending": bool(worker.sends_files) and worker.state != WorkerState.ENDED,
        "came_from": worker.previous_experiment,
        "objects": _objects(worker.backend_handle),
    }


def _objects(backend_handle: str | None) -> dict[str, str]:
    """Return the names in a worker's handle under which users find its objects in the cluster."""
    handle = json.loads(backend_handle) if backend_handle else {}
    return {key: str(handle[key]) for key in ("namespace", "job", "pod", "container") if handle.get(key)}


def _reason(row: ExperimentRow) -> documents.Reason | None:
    reason = row.reason
    if reason is None and row.desired is Desired.RUNNING:
        reason = row.waiting
    if reason is None and row.desired is Desired.PAUSED:
        reason = Reason(ReasonCode.PAUSED_BY_USER, "paused")
    return reason.to_json() if reason else None


def _eta(session: Session, row: ExperimentRow) -> float | None:
    """Return the remaining seconds at the recent pace; None if no trial has finished or the experiment does not run."""
    if row.state.over or not row.finished or not row.started_at or row.desired is not Desired.RUNNING:
        return None
    folds = row.specification.folds.count
    after = row.history_seq - max(LAST // folds, 4)
    spans = session.rows(LAST_SPANS, {"experiment": row.id, "after": after})
    if not spans:
        return None
    recent_pace = pace([(span.leased_at, span.finished_at) for span in spans], len({span.trial for span in spans}))
    [now] = session.rows(RUN_SO_FAR, {"experiment": row.id, "now": session.now})
    return round(
        recent_pace.left(max(row.budget - row.finished, 0), row.running, now.live, max(now.seconds, 0.0), folds), 3
    )
