"""What the file store holds: bundles, artifacts and checkpoints by digest, until nothing names them any more."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestune.errors import StoreUnavailable
from orchestune.store.session import Session, parts
from orchestune.store.tables import artifacts, blobs, experiments, folds, trials

_GOING = "going"
"""the kind of a blob whose bytes are being deleted: for everybody else it is not there, and cannot be there yet"""


class BlobRow(Struct, frozen=True, gc=False):
    """A row of `blobs`."""

    digest: str
    kind: str
    size: int
    created_at: float


def put(session: Session, digest: str, kind: str, size: int) -> None:
    """Know that the file store holds these bytes; knowing it already, or at the same time, is no error, and makes it as
    young as a new one. StoreUnavailable while they are being deleted: whoever sends them has to send them again.
    """
    if use(session, digest):
        return
    dialect = postgresql if session.postgres else sqlite
    row = dialect.insert(blobs).values(digest=digest, kind=kind, size=size, created_at=session.now)
    session.change(row.on_conflict_do_nothing())
    hold(session, digest)


def get(session: Session, digest: str) -> BlobRow | None:
    """The row of a blob."""
    return session.first(select(blobs).where(blobs.c.digest == digest, blobs.c.kind != _GOING), BlobRow)


def use(session: Session, digest: str) -> bool:
    """Keep a blob from being swept before what is about to name it does; False where it is not there."""
    there = (blobs.c.digest == digest) & (blobs.c.kind != _GOING)
    return bool(session.change(update(blobs).where(there).values(created_at=session.now)))


def hold(session: Session, digest: str) -> None:
    """The same before its bytes are looked for in the file store: what is found there then stays.

    StoreUnavailable while they are being deleted.
    """
    if not use(session, digest) and session.select(select(blobs.c.digest).where(blobs.c.digest == digest), str):
        raise StoreUnavailable(f"the bytes {digest[:12]} are just being removed", "send them again in a moment")


def runs_bundle(session: Session, experiment: str, digest: str) -> bool:
    """Whether the experiment, or one of its trials, runs this bundle."""
    own = select(experiments.c.id).where(experiments.c.id == experiment, experiments.c.bundle == digest)
    older = select(trials.c.number).where(trials.c.experiment == experiment, trials.c.bundle == digest).limit(1)
    return bool(session.select(own, str)) or bool(session.select(older, int))


def unreferenced(session: Session, older_than: float) -> list[str]:
    """Digests that no experiment, trial or artifact names, older than a time (uploads come before their rows); also
    those whose removal was cut off.
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
    """Digests of the checkpoints of an experiment, or of all."""
    found: set[str] = set()
    for checkpoint in (trials.c.initial_checkpoint, folds.c.checkpoint):
        query = select(checkpoint).where(checkpoint.is_not(None))
        if experiment is not None:
            query = query.where(checkpoint.table.c.experiment == experiment)
        found |= {json.loads(text)["digest"] for text in session.select(query, str)}
    return found


def _sweepable(older_than: float) -> ColumnElement[bool]:
    return (blobs.c.created_at < older_than) | (blobs.c.kind == _GOING)


def let_go(session: Session, digest: str, older_than: float) -> bool:
    """Its bytes are about to be deleted: nobody can name it from now on. False where somebody was about to."""
    ours = (blobs.c.digest == digest) & _sweepable(older_than)
    return bool(session.change(update(blobs).where(ours).values(kind=_GOING)))


def keep(session: Session, digest: str) -> None:
    """Its bytes could not be deleted: it is there, and as young as a new one, so that others have their turn."""
    ours = (blobs.c.digest == digest) & (blobs.c.kind == _GOING)
    session.change(update(blobs).where(ours).values(kind="kept", created_at=session.now))


def drop(session: Session, digest: str) -> None:
    """Forget a blob whose bytes were deleted."""
    session.change(delete(blobs).where(blobs.c.digest == digest, blobs.c.kind == _GOING))


def named_by(session: Session, experiment: str) -> list[str]:
    """Digests of an experiment's bundles, artifacts and checkpoints."""
    bundle = select(experiments.c.bundle).where(experiments.c.id == experiment, experiments.c.bundle.is_not(None))
    of_trials = select(trials.c.bundle).where(trials.c.experiment == experiment, trials.c.bundle.is_not(None))
    kept = select(artifacts.c.digest).where(artifacts.c.experiment == experiment)
    digests = _of_checkpoints(session, experiment)
    for query in (bundle, of_trials.distinct(), kept):
        digests.update(session.select(query, str))
    return sorted(digests)


def make_old(session: Session, digests: Sequence[str]) -> None:
    """They count as old from now on: what nothing names goes with the next sweep."""
    for part in parts(digests):
        session.change(update(blobs).where(blobs.c.digest.in_(part)).values(created_at=0.0))
