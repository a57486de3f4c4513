"""Blobs, answers that may be asked for again, and the removal of an experiment's records."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestune.errors import StoreUnavailable
from orchestune.store.session import Session
from orchestune.store.tables import (
    artifacts,
    attempts,
    blobs,
    credentials,
    estimates,
    events,
    experiments,
    idempotency,
    log_segments,
    marks,
    notices,
    points,
    revisions,
    tasks,
    tombstones,
    tracked,
    trial_metrics,
    trials,
    usage,
    warm_starts,
    workers,
)

_GOING = "going"
"""the kind of a blob whose bytes are being deleted: for everybody else it is not there, and cannot be there yet"""


def put_blob(session: Session, digest: str, kind: str, size: int) -> None:
    """Know that the file store holds these bytes; knowing it already, or at the same time, is no error, and makes it as
    young as a new one. StoreUnavailable while they are being deleted: whoever sends them has to send them again.
    """
    if use_blob(session, digest):
        return
    dialect = postgresql if session.postgres else sqlite
    row = dialect.insert(blobs).values(digest=digest, kind=kind, size=size, created_at=session.now)
    session.change(row.on_conflict_do_nothing())
    hold_blob(session, digest)


def blob(session: Session, digest: str) -> Row[Any] | None:
    """The row of a blob."""
    return session.first(select(blobs).where(blobs.c.digest == digest, blobs.c.kind != _GOING))


def use_blob(session: Session, digest: str) -> bool:
    """Keep a blob from being swept before what is about to name it does; False where it is not there."""
    there = (blobs.c.digest == digest) & (blobs.c.kind != _GOING)
    return bool(session.change(update(blobs).where(there).values(created_at=session.now)))


def hold_blob(session: Session, digest: str) -> None:
    """The same before its bytes are looked for in the file store: what is found there then stays.

    StoreUnavailable while they are being deleted.
    """
    if not use_blob(session, digest) and session.select(select(blobs.c.digest).where(blobs.c.digest == digest)):
        raise StoreUnavailable(f"the bytes {digest[:12]} are just being removed", "send them again in a moment")


def runs_bundle(session: Session, experiment: str, digest: str) -> bool:
    """Whether the experiment, or one of its trials, runs this bundle."""
    own = select(experiments.c.id).where(experiments.c.id == experiment, experiments.c.bundle == digest)
    older = select(trials.c.number).where(trials.c.experiment == experiment, trials.c.bundle == digest).limit(1)
    return bool(session.select(own)) or bool(session.select(older))


def unreferenced_blobs(session: Session, older_than: float) -> list[str]:
    """Digests that no experiment, trial or artifact names, older than a time (uploads come before their rows); also
    those whose removal was cut off.
    """
    checkpoints = [select(c).where(c.is_not(None)) for c in (trials.c.checkpoint, tasks.c.checkpoint)]
    named = {row[0] for row in session.select(select(experiments.c.bundle).where(experiments.c.bundle.is_not(None)))}
    named |= {row[0] for row in session.select(select(trials.c.bundle).where(trials.c.bundle.is_not(None)).distinct())}
    named |= {row[0] for row in session.select(select(artifacts.c.digest).distinct())}
    texts = [row[0] for query in checkpoints for row in session.select(query)]
    candidates = session.select(select(blobs.c.digest).where(_sweepable(older_than)))
    return [row[0] for row in candidates if row[0] not in named and not any(row[0] in text for text in texts)]


def _sweepable(older_than: float) -> ColumnElement[bool]:
    return (blobs.c.created_at < older_than) | (blobs.c.kind == _GOING)


def let_blob_go(session: Session, digest: str, older_than: float) -> bool:
    """Its bytes are about to be deleted: nobody can name it from now on. False where somebody was about to."""
    ours = (blobs.c.digest == digest) & _sweepable(older_than)
    return bool(session.change(update(blobs).where(ours).values(kind=_GOING)))


def keep_blob(session: Session, digest: str) -> None:
    """Its bytes could not be deleted: it is there, and as young as a new one, so that others have their turn."""
    ours = (blobs.c.digest == digest) & (blobs.c.kind == _GOING)
    session.change(update(blobs).where(ours).values(kind="kept", created_at=session.now))


def drop_blob(session: Session, digest: str) -> None:
    """Forget a blob whose bytes were deleted."""
    session.change(delete(blobs).where(blobs.c.digest == digest, blobs.c.kind == _GOING))


def remembered(session: Session, key: str) -> Row[Any] | None:
    """The answer that was given to an idempotency key and has not expired."""
    return session.first(select(idempotency).where(idempotency.c.key == key, idempotency.c.expires_at > session.now))


def remember(session: Session, key: str, request_hash: str, status: int, answer: str, seconds: float) -> None:
    """Keep an answer for so many seconds; drops what has expired."""
    session.change(delete(idempotency).where((idempotency.c.expires_at <= session.now) | (idempotency.c.key == key)))
    session.change(
        insert(idempotency).values(
            key=key, request_hash=request_hash, status=status, answer=answer, expires_at=session.now + seconds
        )
    )


def log_prefix(experiment: str) -> str:
    """What the keys of all moved logs of an experiment begin with."""
    return f"logs/{experiment}/"


def purge(session: Session, experiment: str) -> None:
    """Remove every row of an experiment, and the answers about it that are kept for repeated requests.

    What stays are digests of its id and handle, so that purging it again is no mistake (see `purged_at`).
    """
    for found in session.select(select(experiments.c.handle).where(experiments.c.id == experiment)):
        for name in (_tombstone(experiment), _tombstone(found.handle)):
            session.change(delete(tombstones).where(tombstones.c.digest == name))
            session.change(insert(tombstones).values(digest=name, at=session.now))
    session.change(delete(idempotency).where(idempotency.c.answer.contains(experiment)))
    session.change(delete(credentials).where(credentials.c.experiment == experiment))
    drop_rows(session, experiment)


def drop_rows(session: Session, experiment: str) -> None:
    """Remove every row of an experiment.

    Its blobs count as old from now on, so that those that nothing else names go with the next sweep.
    """
    _let_go(session, experiment)
    own = select(attempts.c.id).where(attempts.c.experiment == experiment)
    session.change(delete(points).where(points.c.attempt.in_(own)))
    for table in (
        log_segments, events, notices, marks, artifacts, trial_metrics, usage, attempts, tasks, trials, workers,
        warm_starts, estimates, revisions, tracked,
    ):  # fmt: skip
        session.change(delete(table).where(table.c.experiment == experiment))
    session.change(delete(experiments).where(experiments.c.id == experiment))


def drop_files(session: Session, experiment: str) -> None:
    """Forget the logs, artifacts and checkpoints of an experiment that is over; the code stays. See `drop_rows`."""
    _let_go(session, experiment)
    for table in (log_segments, artifacts):
        session.change(delete(table).where(table.c.experiment == experiment))
    for table in (trials, tasks):
        kept = (table.c.experiment == experiment) & table.c.checkpoint.is_not(None)
        session.change(update(table).where(kept).values(checkpoint=None))


def files_dropped(session: Session, experiment: str) -> None:
    """Note that they are gone, their bytes too."""
    session.change(update(experiments).where(experiments.c.id == experiment).values(files_dropped_at=session.now))


def _let_go(session: Session, experiment: str) -> None:
    digests = named_blobs(session, experiment)
    for start in range(0, len(digests), 500):
        part = blobs.c.digest.in_(digests[start : start + 500])
        session.change(update(blobs).where(part).values(created_at=0.0))


def purged_at(session: Session, name: str) -> float | None:
    """When an experiment of this id or (whole) handle was removed for good; None where none was."""
    found = session.first(select(tombstones.c.at).where(tombstones.c.digest == _tombstone(name)))
    return float(found.at) if found else None


def _tombstone(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=20).hexdigest()


def named_blobs(session: Session, experiment: str) -> list[str]:
    """Digests of an experiment's bundles, artifacts and checkpoints."""
    bundle = select(experiments.c.bundle).where(experiments.c.id == experiment)
    of_trials = select(trials.c.bundle).where(trials.c.experiment == experiment).distinct()
    kept = select(artifacts.c.digest).where(artifacts.c.experiment == experiment)
    found = {row[0] for query in (bundle, of_trials, kept) for row in session.select(query)}
    for table in (trials, tasks):
        checkpoints = select(table.c.checkpoint).where(
            table.c.experiment == experiment, table.c.checkpoint.is_not(None)
        )
        found |= {json.loads(row[0])["digest"] for row in session.select(checkpoints)}
    return sorted(digest for digest in found if digest)
