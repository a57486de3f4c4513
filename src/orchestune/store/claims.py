"""Proof that an experiment possesses the bytes of a blob: rows that only an upload of these bytes can create."""

from __future__ import annotations

from orchestune.store.rows import Query
from orchestune.store.session import Session

# `artifacts` has an index by digest, `attempts` one by worker and state. A scan of all rows of an experiment would be
# repeated for each uploaded file.
_HAS_ARTIFACT = Query(int, "SELECT 1 FROM artifacts WHERE digest = :digest AND experiment = :experiment LIMIT 1")
_HAS_CHECKPOINT = Query(
    int,
    """
SELECT 1 FROM attempts a JOIN folds t ON t.experiment = a.experiment AND t.trial = a.trial AND t.fold = a.fold
WHERE a.worker = :worker AND a.experiment = :experiment AND (a.state IN ('leased', 'running') OR a.id = :attempt)
AND t.checkpoint LIKE :pattern LIMIT 1
""",
)
_MAY_RESUME = Query(
    int,
    """
SELECT 1 FROM folds WHERE experiment = :experiment AND checkpoint LIKE :pattern UNION ALL
SELECT 1 FROM trials WHERE experiment = :experiment AND initial_checkpoint LIKE :pattern LIMIT 1
""",
)


def is_held(session: Session, worker: str, experiment: str, digest: str, attempt: str = "") -> bool:
    """Return True if the experiment has published these bytes before, so that its worker need not upload them again.

    A checkpoint counts if it belongs to a fold that the worker runs, or to the fold of `attempt`.
    """
    if session.row(_HAS_ARTIFACT, {"digest": digest, "experiment": experiment}) is not None:
        return True
    fold = {"worker": worker, "experiment": experiment, "attempt": attempt, "pattern": _naming(digest)}
    return session.row(_HAS_CHECKPOINT, fold) is not None


def may_resume_from(session: Session, experiment: str, digest: str) -> bool:
    """Return True if these bytes are a checkpoint from which a trial of the experiment may resume."""
    return session.row(_MAY_RESUME, {"experiment": experiment, "pattern": _naming(digest)}) is not None


def _naming(digest: str) -> str:
    """Return the LIKE pattern for a checkpoint's JSON. A digest is 64 hexadecimal digits and contains no wildcard."""
    return f"%{digest}%"
