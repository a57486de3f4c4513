"""Files that trials leave: parts of uploads, artifacts, checkpoints. All of it may be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from sqlalchemy import Row

from orchestune.domain.states import AttemptState
from orchestune.errors import NotFound, StoreUnavailable
from orchestune.services import handing_in, points
from orchestune.services.bundles import check_digest
from orchestune.services.core import Core
from orchestune.services.ledger import Ledger, locked
from orchestune.services.read_trials import blob_key
from orchestune.services.work import GroupOver
from orchestune.store import artifacts, attempts, blobs, hot, workers

_IS_CHECKPOINT = """
SELECT 1 FROM tasks WHERE experiment = :experiment AND checkpoint LIKE :pattern UNION ALL
SELECT 1 FROM trials WHERE experiment = :experiment AND checkpoint LIKE :pattern LIMIT 1
"""
_TASK_OF = """
SELECT t.token, a.state FROM tasks t JOIN attempts a ON a.experiment = t.experiment AND a.trial = t.trial
AND a.fold = t.fold WHERE a.id = :id
"""


def _upload(worker: str, digest: str) -> str:
    return f"{worker}-{check_digest(digest)}"


def append(core: Core, worker: str, digest: str, offset: int, data: bytes) -> dict[str, Any]:
    """Add a part; the answer says from where to go on."""
    if core.files.size(blob_key(check_digest(digest))) is not None:
        return {"size": core.files.size(blob_key(digest))}
    return {"size": core.files.append(_upload(worker, digest), offset, data)}


def state(core: Core, worker: str, digest: str) -> tuple[int, bool]:
    """How many bytes are there, and whether the blob is complete."""
    size = core.files.size(blob_key(check_digest(digest)))
    if size is not None:
        return size, True
    return core.files.append(_upload(worker, digest), 0, b""), False


def _commit(core: Core, worker: str, digest: str, size: int) -> int:
    """StoreUnavailable where it went meanwhile, swept as one that nothing named: it is sent again."""
    with core.store.transaction() as session:
        blobs.hold(session, check_digest(digest))
    present = core.files.size(blob_key(digest))
    if present is None:
        if size == 0:
            core.files.append(_upload(worker, digest), 0, b"")
        try:
            present = core.files.commit(_upload(worker, digest), blob_key(digest), digest)
        except NotFound as error:
            raise StoreUnavailable(f"the file {digest[:12]} is no longer here", "send it again") from error
    return present


def _own_attempt(core: Core, worker: str, body: Mapping[str, Any]) -> Row[Any]:
    """The attempt of which a worker speaks. NotFound where it is not one of its own."""
    with core.store.reading() as session:
        attempt = attempts.find(session, body["attempt"])
    if attempt is None or attempt.token != body["token"] or attempt.worker != worker:
        raise NotFound(f"this worker has no attempt {body['attempt']}")
    return attempt


def _newest(ledger: Ledger, attempt: Row[Any]) -> AttemptState | None:
    """The state of an attempt; None where a newer one of its task has replaced it."""
    row = ledger.session.row(_TASK_OF, {"id": attempt.id})
    return AttemptState(row[1]) if row is not None and row[0] == attempt.token else None


def keep_artifacts(core: Core, worker: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Turn finished uploads into artifacts of the attempt's trial; a newer attempt's files replace older ones, and no
    older one's come after them.

    Where a trial has several folds, the files of each lie below `fold-K/`. With `refused`, which says why, none of
    those will come that are still missing: StoreUnavailable while the attempt's end is not known.
    """
    attempt = _own_attempt(core, worker, body)
    if "refused" in body:
        if AttemptState(attempt.state).live:
            raise StoreUnavailable(f"attempt {attempt.id} has not ended yet", "tell it again when it has")
        with locked(core, attempt.experiment) as ledger:
            handing_in.refused(ledger, attempt.id, body["refused"])
        return {"kept": []}
    sizes = {item["digest"]: _commit(core, worker, item["digest"], item["size"]) for item in body["files"]}
    with locked(core, attempt.experiment) as ledger:
        for digest, size in sizes.items():  # what is not wanted is swept, as it is known
            blobs.put(ledger.session, digest, "artifact", size)
        if _newest(ledger, attempt) is None:
            return {"kept": []}
        several = ledger.row.specification.folds.count > 1
        below = f"fold-{attempt.fold}/" if several else ""
        for item in body["files"]:
            values = {
                "experiment": attempt.experiment,
                "trial": attempt.trial,
                "path": below + item["path"],
                "attempt": attempt.id,
                "digest": item["digest"],
                "size": sizes[item["digest"]],
                "created_at": ledger.now,
            }
            artifacts.put(ledger.session, values)
        if not body.get("more"):
            handing_in.arrived(ledger, attempt.id)
        ledger.record(
            "artifacts_kept", {"trial": attempt.trial, "paths": [below + item["path"] for item in body["files"]]}
        )
    return {"kept": [item["path"] for item in body["files"]]}


def checkpoint(core: Core, worker: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Publish a checkpoint, if the attempt still is the newest of its task: two processes never share one.

    With `age`, the seconds since its files stood still, a higher step that had come by HTTP until then is its step.
    """
    attempt = _own_attempt(core, worker, body)
    step = points.finite(body.get("step"))
    if "age" in body:
        with core.store.reading() as session:
            step = points.furthest(session, attempt.id, session.now - float(body["age"]), step)
    size = _commit(core, worker, body["digest"], int(body.get("size") or 1))
    with locked(core, attempt.experiment) as ledger:
        blobs.put(ledger.session, body["digest"], "checkpoint", size)
        if _newest(ledger, attempt) in (None, AttemptState.CANCELLED):
            return {"accepted": False}
        published = {"attempt": attempt.id, "digest": body["digest"], "step": step}
        where = {"experiment": attempt.experiment, "trial": attempt.trial, "fold": attempt.fold}
        ledger.session.run(hot.PUBLISH_CHECKPOINT, where | {"checkpoint": json.dumps(published)})
        ledger.record("checkpoint_published", {"trial": attempt.trial, "step": step, "size": size})
    return {"accepted": True}


def open_blob(core: Core, worker: str, digest: str) -> tuple[BinaryIO, int]:
    """The bytes of a checkpoint that a trial of this worker's experiment may resume from."""
    with core.store.reading() as session:
        row = workers.get(session, worker)
        blob = blobs.get(session, check_digest(digest))
        if row is None:
            raise GroupOver("this worker is no longer wanted")
        found = session.row(_IS_CHECKPOINT, {"experiment": row.experiment, "pattern": f"%{digest}%"})
    if blob is None or found is None:
        raise NotFound(f"there is no checkpoint {digest} in this experiment")
    return core.files.open(blob_key(digest)), blob.size
