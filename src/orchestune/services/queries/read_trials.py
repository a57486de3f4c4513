"""Trial documents of the API, and the artifacts of trials."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import msgspec

from orchestune import documents
from orchestune.domain.search.parameters import Value
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import NotFound
from orchestune.ports.clock import rfc3339
from orchestune.services.bundles import blob_key
from orchestune.services.core import Core
from orchestune.services.queries.best_trials import metric_documents
from orchestune.services.queries.log_bytes import end_of
from orchestune.store import artifacts as files
from orchestune.store import experiments, logs
from orchestune.store import trials as rows
from orchestune.store.attempts import AttemptCurve, AttemptOfWorker, points_of
from orchestune.store.attempts import of_trials as attempts_of
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.store.trials import FoldRow, TrialRow
from orchestune.worker.command import length, render
from orchestune.worker.output import LAST_BYTES

_PAGE_BYTES = 4 * 2**20
"""size as JSON at which a page ends"""
_ROWS = 25
"""trials read first; then as many as the page has already"""
_MAX_COMMAND = 2**17
"""characters of a command, as of a program's argument in Linux; of a longer one the template is shown"""
_MAX_POINTS_OF_CURVE = 5000
"""Points shown per curve of one trial."""
_MAX_POINTS_OF_TRIAL = 25_000
"""Approximate number of points of all curves of one trial: its page reads them on each event of the experiment."""
_SEGMENTS = 40
"""Newest log segments that are searched for the log tail."""
_MAX_TAILS = 50
"""Attempts whose log tail is read from their log: a segment has up to 2 MiB."""


def trials(core: Core, ref: str, after: int, limit: int, state: str | None, tails: bool = False) -> documents.TrialPage:
    """Return a page of trials with numbers above `after`; `next` is the cursor of the next page, None at the end.

    A page of large trials has fewer than `limit`: a trial may have megabytes of parameters and metrics, of which a
    program chooses the names. `tails`: include the log tail of each attempt.
    """
    with core.store.reading() as session:
        experiment = experiments.find(session, ref).id
        items: list[documents.Trial] = []
        size, has_more = 0, True
        while has_more and len(items) < limit and size < _PAGE_BYTES:
            count = min(limit - len(items), max(_ROWS, len(items)))
            page = rows.page(session, experiment, items[-1]["number"] if items else after, count + 1, state)
            has_more = len(page) > count
            for document in trial_documents(session, experiment, page[:count], tails=tails):
                if size >= _PAGE_BYTES:
                    has_more = True
                    break
                items.append(document)
                size += len(msgspec.json.encode(document))
    return {"items": items, "next": items[-1]["number"] if has_more else None}


def trial(core: Core, ref: str, number: int) -> documents.Trial:
    """Return one trial, with the log tail of each attempt, the artifacts and its command."""
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        document = of_number(session, experiment, number)
        # it runs, or its worker was lost
        without_tail = [attempt for attempt in document["attempts"] if not attempt["tail"]][-_MAX_TAILS:]
        printed = [logs.newest_of(session, attempt["id"], _SEGMENTS, LAST_BYTES) for attempt in without_tail]
    for attempt, newest in zip(without_tail, printed, strict=True):
        attempt["tail"] = end_of(core.files, newest)
    return document


def of_number(session: Session, experiment: ExperimentRow, number: int) -> documents.Trial:
    """Return one trial within a session, with the log tails that workers have reported."""
    row = rows.need(session, experiment, number)
    specification, _ = experiments.at_revision(session, experiment, row.revision)
    [document] = trial_documents(session, experiment.id, [row], tails=True)
    document["checkpoint"] = rows.checkpoint_of(session, row)
    document["folds"] = [_fold(fold) for fold in rows.folds_of(session, experiment.id, number)]
    document["artifacts"] = _artifacts(session, experiment.id, number)
    document["command"] = _command(specification, row.configuration)
    return document


def _command(specification: Specification, parameters: Mapping[str, Value]) -> str:
    """Return the command line for display: of the config file only the name is known here, not its directory."""
    config = specification.config.name if specification.config else ""
    names = [parameter.name for parameter in specification.space.parameters]
    template = specification.run if isinstance(specification.run, str) else shlex.join(specification.run)
    if length(specification.run, parameters, names, config) > _MAX_COMMAND:
        return template
    try:
        words = render(specification.run, parameters, names, config)
    except ValueError:  # the trial fails with this error when it starts
        return template
    return words[2] if words[:2] == ["sh", "-c"] and isinstance(specification.run, str) else shlex.join(words)


def artifacts(core: Core, ref: str, number: int) -> list[documents.Artifact]:
    """Return the artifacts of a trial."""
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        rows.need(session, experiment, number)
        return _artifacts(session, experiment.id, number)


def _artifacts(session: Session, experiment: str, number: int) -> list[documents.Artifact]:
    return [
        {"path": artifact.path, "digest": artifact.digest, "size": artifact.size}
        for artifact in files.of_trial(session, experiment, number)
    ]


def open_artifact(core: Core, ref: str, number: int, path: str) -> tuple[BinaryIO, int]:
    """Return a reader and the size of one artifact. Reads only its row: clients fetch a trial's artifacts one by one.

    Raises NotFound if the artifact does not exist or its file was deleted.
    """
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        rows.need(session, experiment, number)
        artifact = files.get(session, experiment.id, number, path)
    if artifact is None:
        hint = f"`orchestune trials {ref}/{number}` lists its files"
        raise NotFound(f"trial {number} has no artifact '{path}'", hint)
    return _opened(core, f"'{path}' of trial {number}", artifact.digest), artifact.size


def _opened(core: Core, name: str, digest: str) -> BinaryIO:
    try:
        return core.files.open(blob_key(digest))
    except NotFound as error:
        hint = "the server did not delete it; check the lifecycle rules of its bucket"
        raise NotFound(f"{name} is missing in the server's file store", hint) from error


def trial_documents(
    session: Session, experiment: str, trial_rows: Sequence[TrialRow], *, tails: bool = False
) -> list[documents.Trial]:
    """Return documents of trials whose rows were read in this session, without the fields that lists omit."""
    numbers = [row.number for row in trial_rows]
    metrics = rows.metrics_of(session, experiment, numbers)
    attempts = attempts_of(session, experiment, numbers, tails=tails)
    return [
        {
            "number": row.number,
            "state": row.state,
            "reason": json.loads(row.reason) if row.reason else None,
            "source": row.source,
            "suggested_after": row.suggested_after,
            "parameters": row.configuration,
            "metrics": metric_documents(metrics.get(row.number, {})),
            "seed": row.seed,
            "bundle": row.bundle,
            "revision": row.revision,
            "attempts": [_attempt(attempt, tails) for attempt in attempts.get(row.number, ())],
            "created_at": rfc3339(row.created_at),
            "started_at": rfc3339(row.started_at),
            "finished_at": rfc3339(row.finished_at),
        }
        for row in trial_rows
    ]


def _fold(fold: FoldRow) -> documents.Fold:
    """Return one fold; a trial without cross-validation has a single fold, whose metrics are the trial's."""
    return {"fold": fold.fold, "state": fold.state, "metrics": metric_documents(fold.measured)}


def _attempt(attempt: AttemptOfWorker, tail: bool) -> documents.Attempt:
    document: documents.Attempt = {
        "id": attempt.id,
        "fold": attempt.fold,
        "number": attempt.attempt_number,
        "state": attempt.state,
        "worker": attempt.worker_name,
        "node": attempt.node,
        "gpus": json.loads(attempt.gpus) if attempt.gpus else [],
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "reason": json.loads(reason) if (reason := attempt.shown_reason) else None,
        "started_at": rfc3339(attempt.started_at),
        "finished_at": rfc3339(attempt.finished_at),
        "wall_seconds": attempt.wall_seconds,
        "cpu_seconds": attempt.cpu_seconds,
        "peak_memory_bytes": attempt.peak_memory,
        "raised_memory_bytes": attempt.raised_memory,
        "resumed_from": json.loads(attempt.resumed_from) if attempt.resumed_from else None,
        "log_bytes": attempt.log_bytes,
        "logs_complete": attempt.log_bytes is not None and attempt.log_end >= attempt.log_bytes,
    }
    if tail:
        document["tail"] = attempt.log_tail
    return document


def ordered(
    core: Core, ref: str, sort: str, where: str | None, state: str | None, offset: int, limit: int
) -> documents.TrialPage:
    """Return a page of the matching trials in the order of `sort`, and their total number."""
    row, columns = core.experiment_cache.columns(core.store, ref)
    places = columns.order(columns.matching(where, state), sort)
    numbers = [int(number) for number in columns.number()[places[offset : offset + limit]]]
    with core.store.reading() as session:
        items = trial_documents(session, row.id, rows.of_numbers(session, row.id, numbers))
    return {"items": items, "next": None, "total": len(places)}


def points(core: Core, ref: str, number: int) -> documents.Points:
    """Return the learning curves of one trial."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        rows.need(session, row, number)
        reported = points_of(session, row.id, [number], _MAX_POINTS_OF_CURVE, in_all=_MAX_POINTS_OF_TRIAL)
    items: list[documents.TrialCurve] = [
        {
            "fold": curve.fold,
            "attempt_number": curve.attempt_number,
            "metric": curve.name,
            "reported": curve.reported,
            "points": curve_points(curve),
        }
        for curve in reported
    ]
    return {"items": items}


def curve_points(curve: AttemptCurve) -> list[tuple[float, float]]:
    """Return the steps and values of a learning curve."""
    return [(point.step, point.value) for point in curve.points]
