"""Trials as the API shows them, and the files they left."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from sqlalchemy import Row

from orchestune.domain.experiment import Specification
from orchestune.errors import NotFound
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.services.log_bytes import end_of
from orchestune.services.read_experiments import Document
from orchestune.store import artifacts as files
from orchestune.store import experiments, logs
from orchestune.store import trials as rows
from orchestune.store.attempts import of_trials as attempts_of
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session
from orchestune.worker.command import render

_SEGMENTS = 40
"""newest segments of a log in which its last lines are looked for"""


def blob_key(digest: str) -> str:
    """Where the file store keeps bytes by their SHA-256."""
    return f"blobs/{digest[:2]}/{digest}"


def trials(core: Core, ref: str, after: int, limit: int, state: str | None, tails: bool = False) -> Document:
    """A page of `Trial`s behind number `after`; `next` is the number to go on from, None at the end.

    `tails`: with the last lines of each attempt.
    """
    with core.store.reading() as session:
        experiment = experiments.find(session, ref).id
        found = rows.page(session, experiment, after, limit + 1, state)
        items = documents(session, experiment, found[:limit], details=False, tails=tails)
    return {"items": items, "next": found[limit - 1].number if len(found) > limit else None}


def trial(core: Core, ref: str, number: int) -> Document:
    """One `Trial`, with the last lines of each attempt, the artifacts and its command."""
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        shown = of_number(session, experiment, number)
        untold = [attempt for attempt in shown["attempts"] if not attempt["tail"]]  # it runs, or its worker died
        printed = [logs.newest_of(session, attempt["id"], _SEGMENTS) for attempt in untold]
    for attempt, newest in zip(untold, printed, strict=True):
        attempt["tail"] = end_of(core.files, newest)
    return shown


def of_number(session: Session, experiment: ExperimentRow, number: int) -> Document:
    """The same in a session, with the last lines of attempts that have told them."""
    found = rows.need(session, experiment, number)
    specification, _ = experiments.at_revision(session, experiment, found.revision)
    shown = documents(session, experiment.id, [found], details=True, tails=True)[0]
    return shown | {"command": _command(specification, shown["parameters"])}


def _command(specification: Specification, parameters: Mapping[str, Any]) -> str:
    """The command line, for people: where its file of values will be is not known here, its name is."""
    config = specification.config.name if specification.config else ""
    names = [parameter.name for parameter in specification.space.parameters]
    try:
        words = render(specification.run, parameters, names, config)
    except ValueError:  # which the trial says, if it ever began
        return specification.run if isinstance(specification.run, str) else shlex.join(specification.run)
    return words[2] if words[:2] == ["sh", "-c"] and isinstance(specification.run, str) else shlex.join(words)


def artifacts(core: Core, ref: str, number: int) -> list[Document]:
    """What a trial left behind."""
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        rows.need(session, experiment, number)
        return _artifacts(session, experiment.id, number)


def _artifacts(session: Session, experiment: str, number: int) -> list[Document]:
    return [
        {"path": artifact.path, "digest": artifact.digest, "size": artifact.size}
        for artifact in files.of_trial(session, experiment, number)
    ]


def open_artifact(core: Core, ref: str, number: int, path: str) -> tuple[BinaryIO, int]:
    """A reader and the size of one artifact. Looks at no other: whoever fetches all of a trial's asks for each."""
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        rows.need(session, experiment, number)
        artifact = files.get(session, experiment.id, number, path)
    if artifact is None:
        hint = f"`orchestune trials {ref}/{number}` lists what it kept"
        raise NotFound(f"trial {number} kept no file '{path}'", hint)
    return _opened(core, f"'{path}' of trial {number}", artifact.digest), artifact.size


def _opened(core: Core, name: str, digest: str) -> BinaryIO:
    try:
        return core.files.open(blob_key(digest))
    except NotFound as error:
        hint = "the server did not remove it; does a rule of its bucket?"
        raise NotFound(f"{name} is no longer where the server keeps files", hint) from error


def documents(
    session: Session, experiment: str, found: Sequence[Row[Any]], *, details: bool, tails: bool = False
) -> list[Document]:
    """`Trial`s of rows that were read in this session."""
    numbers = [row.number for row in found]
    measured = rows.metrics_of(session, experiment, numbers)
    attempts = attempts_of(session, experiment, numbers)
    documents = []
    for row in found:
        shown = {
            "number": row.number,
            "state": row.state,
            "reason": json.loads(row.reason) if row.reason else None,
            "source": row.source,
            "suggested_after": row.suggested_after,
            "parameters": json.loads(row.parameters),
            "metrics": measured.get(row.number, {}),
            "seed": row.seed,
            "bundle": row.bundle,
            "revision": row.revision,
            "attempts": [_attempt(attempt, tails) for attempt in attempts.get(row.number, ())],
            "created_at": rfc3339(row.created_at),
            "started_at": rfc3339(row.started_at),
            "finished_at": rfc3339(row.finished_at),
        }
        if details:
            shown["checkpoint"] = rows.checkpoint_of(session, row)
            shown["tasks"] = [_task(task) for task in rows.tasks_of(session, experiment, row.number)]
            shown["artifacts"] = _artifacts(session, experiment, row.number)
        documents.append(shown)
    return documents


def _task(row: Row[Any]) -> Document:
    """One for each fold; a trial without folds has one, and its metrics are the trial's."""
    return {"fold": row.fold, "state": row.state, "metrics": json.loads(row.metrics) if row.metrics else {}}


def _attempt(row: Row[Any], tail: bool) -> Document:
    shown = {
        "id": row.id,
        "task": row.fold,
        "number": row.token,
        "state": row.state,
        "worker": row.worker_name,
        "node": row.node,
        "gpus": json.loads(row.gpus) if row.gpus else [],
        "exit_code": row.exit_code,
        "signal": row.signal,
        "reason": json.loads(row.reason) if row.reason else None,
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
        "wall_seconds": row.wall,
        "cpu_seconds": row.cpu,
        "peak_memory_bytes": row.memory,
        "raised_memory_bytes": row.raised_memory,
        "resumed_from": json.loads(row.resumed_from) if row.resumed_from else None,
        "log_bytes": row.log_bytes,
        "logs_complete": row.log_bytes is not None and row.log_end >= row.log_bytes,
    }
    if tail:
        shown["tail"] = row.tail
    return shown
