"""Rows of the blobs in the file store: bundles, artifacts and checkpoints by digest, until they are unreferenced."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import ColumnElement, delete, select, update

from orchestune.errors import StoreUnavailable
from orchestune.store.session import Session, batches
from orchestune.store.tables import artifacts, blobs, experiments, folds, trials

_GOING = "going"
"""kind of a blob whose bytes are being deleted: other callers can neither use it nor upload it again yet"""


class BlobRow(Struct, frozen=True, gc=False):
    """A row of `blobs`."""

    digest: str
    kind: str
    size: int
    created_at: float


def put(session: Session, digest: str, kind: str, size: int) -> None:
    """Record that the file store holds these bytes. Idempotent, also with concurrent calls; resets the blob's age.

    Raises StoreUnavailable while the bytes are being deleted: the client has to upload them again.
    """
    if use(session, digest):
        return
    row = session.insert(blobs).values(digest=digest, kind=kind, size=size, created_at=session.now)
    session.change(row.on_conflict_do_nothing())
    hold(session, digest)


def get(session: Session, digest: str) -> BlobRow | None:
    """Return the row of a blob, None if it is absent or being deleted."""
    return session.first(select(blobs).where(blobs.c.digest == digest, blobs.c.kind != _GOING), BlobRow)


def use(session: Session, digest: str) -> bool:
    """Reset a blob's age so that it is not swept before a reference is written. Return False if it is absent."""
    is_usable = (blobs.c.digest == digest) & (blobs.c.kind != _GOING)
    return bool(session.change(update(blobs).where(is_usable).values(created_at=session.now)))


def hold(session: Session, digest: str) -> None:
    """Like `use`, before the bytes are looked up in the file store: bytes present there then stay.

    Raises StoreUnavailable while they are being deleted.
    """
    if not use(session, digest) and session.select(select(blobs.c.digest).where(blobs.c.digest == digest), str):
        raise StoreUnavailable(f"the file {digest[:12]} is being deleted", "upload it again in a moment")


def runs_bundle(session: Session, experiment: str, digest: str) -> bool:
    """Return True if the experiment or one of its trials runs this bundle."""
    own = select(experiments.c.id).where(experiments.c.id == experiment, experiments.c.bundle == digest)
    older = select(trials.c.number).where(trials.c.experiment == experiment, trials.c.bundle == digest).limit(1)
    return bool(session.select(own, str)) or bool(session.select(older, int))


def unreferenced(session: Session, older_than: float) -> list[str]:
    """Return the digests of blobs that can be deleted.

    These are the ones that no experiment, trial or artifact references and that are older than the time `older_than`
    (bytes are uploaded before the rows that reference them), and those whose deletion was interrupted.
    """
    named = _of_checkpoints(session)
    for query in (
        select(experiments.c.bundle).where(experiments.c.bundle.is_not(None)),
        select(trials.c.bundle).where(trials.c.bundle.is_not(None)).distinct(),
        select(artifacts.c.digest).distinct(),
    ):
        named.update(session.select(query, str))
    candidates = session.select(select(blobs.c.digest).where(_sweepable(older_than)), str)
    return [digest for digest in candidates if digest not in named]


def _of_checkpoints(session: Session, experiment: str | None = None) -> set[str]:
    """Return the digests of the checkpoints of one experiment, or of all."""
    digests: set[str] = set()
    for checkpoint in (trials.c.initial_checkpoint, folds.c.checkpoint):
        query = select(checkpoint).where(checkpoint.is_not(None))
        if experiment is not None:
            query = query.where(checkpoint.table.c.experiment == experiment)
        digests |= {json.loads(text)["digest"] for text in session.select(query, str)}
    return digests


def _sweepable(older_than: float) -> ColumnElement[bool]:
    return (blobs.c.created_at < older_than) | (blobs.c.kind == _GOING)


def claim_for_deletion(session: Session, digest: str, older_than: float) -> bool:
    """Mark a blob as being deleted, so that no new reference is possible. Return False if it was used meanwhile."""
    ours = (blobs.c.digest == digest) & _sweepable(older_than)
    return bool(session.change(update(blobs).where(ours).values(kind=_GOING)))


def keep(session: Session, digest: str) -> None:
    """Restore a blob whose bytes could not be deleted, with its age reset so that the next sweeps try others first."""
    ours = (blobs.c.digest == digest) & (blobs.c.kind == _GOING)
    session.change(update(blobs).where(ours).values(kind="kept", created_at=session.now))


def drop(session: Session, digest: str) -> None:
    """Delete the row of a blob whose bytes were deleted."""
    session.change(delete(blobs).where(blobs.c.digest == digest, blobs.c.kind == _GOING))


def named_by(session: Session, experiment: str) -> list[str]:
    """Return the sorted digests of an experiment's bundles, artifacts and checkpoints."""
    bundle = select(experiments.c.bundle).where(experiments.c.id == experiment, experiments.c.bundle.is_not(None))
    of_trials = select(trials.c.bundle).where(trials.c.experiment == experiment, trials.c.bundle.is_not(None))
    of_artifacts = select(artifacts.c.digest).where(artifacts.c.experiment == experiment)
    digests = _of_checkpoints(session, experiment)
    for query in (bundle, of_trials.distinct(), of_artifacts):
        digests.update(session.select(query, str))
    return sorted(digests)


def mark_old(session: Session, digests: Sequence[str]) -> None:
    """Mark blobs as old, so that the next sweep deletes those that are unreferenced."""
    for batch in batches(digests):
        session.change(update(blobs).where(blobs.c.digest.in_(batch)).values(created_at=0.0))
