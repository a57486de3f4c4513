"""Removal of an experiment's records, or only of its files."""

from __future__ import annotations

import hashlib

from sqlalchemy import ColumnElement, Delete, Table, delete, insert, select, tuple_, update

from orchestune.store import blobs
from orchestune.store.session import Session
from orchestune.store.tables import (
    artifacts,
    attempts,
    credentials,
    estimates,
    events,
    experiments,
    folds,
    idempotency,
    log_segments,
    notifications,
    points,
    pruner_observations,
    revisions,
    tombstones,
    tracking_runs,
    trial_metrics,
    trials,
    usage,
    warm_starts,
    workers,
)

_OWN = (
    log_segments, events, notifications, pruner_observations, artifacts, trial_metrics, usage, attempts, folds, trials,
    workers, warm_starts, estimates, revisions, tracking_runs,
)  # fmt: skip
_BATCH_ROWS = 2000


def shrink(session: Session, experiment: str) -> bool:
    """Delete one batch of rows, small enough not to block other writers. Return False if only its own row is left.

    Call it repeatedly before `purge`, for an experiment that clients can no longer see. Mark its blobs as old first:
    their digests are in these rows.
    """
    first = select(attempts.c.id).where(attempts.c.experiment == experiment).limit(_BATCH_ROWS)
    if some := session.select(first, str):
        return bool(
            session.change(delete(points).where(_some(points, points.c.attempt.in_(some))))
            or session.change(delete(attempts).where(attempts.c.id.in_(some)))
        )
    return any(session.change(_batch(table, experiment)) for table in _OWN)


def _batch(table: Table, experiment: str) -> Delete:
    return delete(table).where(_some(table, table.c.experiment == experiment))


def _some(table: Table, where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return a condition for one batch of the rows that match `where`."""
    key = table.primary_key.columns
    return tuple_(*key).in_(select(*key).where(where).limit(_BATCH_ROWS))


def purge(session: Session, experiment: str) -> None:
    """Delete every row of an experiment, its credentials and the stored responses of requests about it.

    Digests of its id and handle remain as tombstones, so that purging it again is no error (see `purged_at`).
    """
    for handle in session.select(select(experiments.c.handle).where(experiments.c.id == experiment), str):
        for name in (_tombstone(experiment), _tombstone(handle)):
            session.change(delete(tombstones).where(tombstones.c.digest == name))
            session.change(insert(tombstones).values(digest=name, at=session.now))
    session.change(delete(idempotency).where(idempotency.c.response.contains(experiment)))
    session.change(delete(credentials).where(credentials.c.experiment == experiment))
    drop_rows(session, experiment)


def drop_rows(session: Session, experiment: str) -> None:
    """Delete every row of an experiment.

    Marks its blobs as old, so that the next sweep deletes those that are unreferenced.
    """
    blobs.mark_old(session, blobs.named_by(session, experiment))
    own = select(attempts.c.id).where(attempts.c.experiment == experiment)
    session.change(delete(points).where(points.c.attempt.in_(own)))
    for table in _OWN:
        session.change(delete(table).where(table.c.experiment == experiment))
    session.change(delete(experiments).where(experiments.c.id == experiment))


def drop_files(session: Session, experiment: str) -> bool:
    """Delete one batch of the log, artifact and checkpoint rows of a finished experiment, like `shrink`.

    Return False if none is left. The bundle stays.
    """
    if any(session.change(_batch(table, experiment)) for table in (log_segments, artifacts)):
        return True
    for table, checkpoint in ((trials, trials.c.initial_checkpoint), (folds, folds.c.checkpoint)):
        with_checkpoint = (table.c.experiment == experiment) & checkpoint.is_not(None)
        if session.change(update(table).where(_some(table, with_checkpoint)).values({checkpoint: None})):
            return True
    return False


def files_dropped(session: Session, experiment: str) -> None:
    """Record that logs and files of the experiment are deleted, including their bytes."""
    session.change(update(experiments).where(experiments.c.id == experiment).values(files_deleted_at=session.now))


def purged_at(session: Session, name: str) -> float | None:
    """Return the time at which an experiment with this id or full handle was purged, None if none was."""
    return session.first(select(tombstones.c.at).where(tombstones.c.digest == _tombstone(name)), float)


def _tombstone(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
