"""Receive files of trials: upload parts, artifacts, checkpoints. All calls are idempotent."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from orchestune.domain.access.artifact_path import problem_of
from orchestune.domain.lifecycle.states import AttemptState
from orchestune.domain.specification.metrics import storable
from orchestune.errors import BadInput, NotFound, Problem, StoreUnavailable, TooLarge
from orchestune.services.bundles import blob_key, check_digest
from orchestune.services.core import Core
from orchestune.services.execution import pending_files, points
from orchestune.services.execution.locked_experiment import Ledger, locked
from orchestune.services.execution.worker_call import WorkerNotNeeded
from orchestune.store import artifacts, attempts, blobs, changes, claims, experiments, workers
from orchestune.store.artifacts import ArtifactRow
from orchestune.store.attempts import AttemptRow
from orchestune.store.statements.trials import PUBLISH_CHECKPOINT
from orchestune.wire.answers import KeptArtifacts, Published, Uploaded
from orchestune.wire.files import KeepArtifacts, PublishCheckpoint, UploadedArtifact

# Bounds of the paths in an event: those of one call may have 2 MB, and every client of the experiment reads its events.
_SHOWN_PATHS, _SHOWN_CHARACTERS = 3, 200
# JSON of the paths of a trial's artifacts, which its document has; a worker sends at most 3 MiB for each attempt.
_MAX_LISTING_BYTES, _BYTES_PER_ENTRY = 16 * 2**20, 150
_FILES_AT_ONCE = 100  # artifacts per transaction, which locks the experiment and, in SQLite, the whole store for writes


def _upload(worker: str, digest: str) -> str:
    return f"{worker}-{check_digest(digest)}"


def append(core: Core, worker: str, digest: str, offset: int, data: bytes) -> Uploaded:
    """Append a part to the worker's own upload; return the offset at which to continue."""
    return Uploaded(core.files.append(_upload(worker, digest), offset, data))


def state(core: Core, worker: str, digest: str) -> tuple[int, bool]:
    """Return how many bytes of the worker's upload have arrived, and True if it need not upload any more.

    Blobs of other experiments do not count, even if the store has them: otherwise a worker that names a digest could
    find out that the blob exists, and claim it as its own.
    """
    check_digest(digest)
    with core.store.reading() as session:
        row = workers.get(session, worker)
        is_held = row is not None and claims.is_held(session, worker, row.experiment, digest)
    size = core.files.size(blob_key(digest)) if is_held else None
    if size is not None:
        return size, True
    return core.files.append(_upload(worker, digest), 0, b""), False


def _commit(core: Core, attempt: AttemptRow, digest: str, size: int | None) -> int:
    """Turn the worker's upload into a blob and return its size.

    The worker must have uploaded every byte, unless its experiment has published the same bytes before. If bytes are
    missing, also because they were swept meanwhile, raises StoreUnavailable, which makes the worker upload them again.
    Raises BadInput if the blob does not have the announced `size`.
    """
    with core.store.transaction() as session:
        blobs.hold(session, check_digest(digest))
        is_held = claims.is_held(session, attempt.worker, attempt.experiment, digest, attempt.id)
    upload = _upload(attempt.worker, digest)
    try:
        present = core.files.commit(upload, blob_key(digest), digest, needs_upload=True)
    except NotFound as error:
        held = core.files.size(blob_key(digest)) if is_held else None
        if held is None:
            raise StoreUnavailable(f"the file {digest[:12]} has not been uploaded", "upload it again") from error
        present = held
    if size is not None and present != size:
        raise BadInput.one(f"the upload {digest[:12]} has {present} bytes (expected {size})", key="size")
    return present


def _own_attempt(core: Core, worker: str, call: KeepArtifacts | PublishCheckpoint) -> AttemptRow:
    """Return the attempt of a call. Raises NotFound if it is not one of this worker."""
    with core.store.reading() as session:
        attempt = attempts.find(session, call.attempt)
    if attempt is None or attempt.attempt_number != call.token or attempt.worker != worker:
        raise NotFound(f"this worker has no attempt {call.attempt}")
    return attempt


def _newest(ledger: Ledger, attempt: AttemptRow) -> AttemptState | None:
    """Return the state of an attempt; None if a newer attempt of its fold has replaced it."""
    lease = ledger.session.row(changes.NEWEST_LEASE, {"id": attempt.id})
    return AttemptState(lease.state) if lease is not None and lease.lease_token == attempt.attempt_number else None


def _folder_of(core: Core, attempt: AttemptRow) -> str:
    """Return the path prefix of the attempt's artifacts within its trial: `fold-K/`, or empty without folds."""
    with core.store.reading() as session:
        several = experiments.get(session, attempt.experiment).specification.folds.count > 1
    return f"fold-{attempt.fold}/" if several else ""


def _check_paths(below: str, files: Sequence[UploadedArtifact]) -> None:
    """Raise BadInput for paths that a client could not create below the download folder, or that lead outside of it."""
    problems = [
        Problem(f"{item.path[:200]!r} cannot be the path of an artifact: {problem}", key=f"files[{index}].path")
        for index, item in enumerate(files)
        if (problem := problem_of(below + item.path)) or (problem := problem_of(item.path))
    ]
    if problems:
        raise BadInput(problems)


def _check_files(core: Core, attempt: AttemptRow, files: Mapping[str, int]) -> None:
    """Raise TooLarge if the files (path → size) exceed `keep.limit` or are too many for the trial's document.

    Raises BadInput if one lies below another file's path. Honest workers respect all of them. Concurrent calls of one
    worker may each pass the check and together exceed the limit, by no more than the few server threads allow.
    """
    with core.store.reading() as session:
        limit = experiments.get(session, attempt.experiment).specification.keep.limit
        stored = artifacts.of_trial(session, attempt.experiment, attempt.trial)
    own = {**{artifact.path: artifact.size for artifact in stored if artifact.attempt == attempt.id}, **files}
    if sum(own.values()) > limit:
        text = f"the files have {sum(own.values()):,} bytes together (expected at most {limit:,}, see `keep.limit`)"
        raise TooLarge(text, "raise the limit in the experiment file")
    paths = own.keys() | {artifact.path for artifact in stored}
    if sum(_BYTES_PER_ENTRY + len(path) for path in paths) > _MAX_LISTING_BYTES:
        text = f"trial {attempt.trial} would have {len(paths):,} files, whose list takes more than"
        raise TooLarge(f"{text} {_MAX_LISTING_BYTES // 2**20} MiB", "pack them into an archive")
    ordered = sorted(paths)
    for path in files:
        folder = next((above for above in _folders_above(path) if above in paths), None)
        if folder is not None:
            raise _below_a_file(path, folder)
        place = bisect_left(ordered, f"{path}/")  # paths below it follow one another
        if place < len(ordered) and ordered[place].startswith(f"{path}/"):
            raise _below_a_file(ordered[place], path)


def _folders_above(path: str) -> Iterator[str]:
    return (path[:place] for place, character in enumerate(path) if character == "/")


def _below_a_file(path: str, folder: str) -> BadInput:
    return BadInput.one(f"{path[:200]!r} cannot be stored: {folder[:200]!r} is a file too (expected a folder)")


def keep_artifacts(core: Core, worker: str, call: KeepArtifacts) -> KeptArtifacts:
    """Turn finished uploads into artifacts of the attempt's trial.

    Files of a newer attempt replace those of older ones; files of an attempt that was replaced are ignored.

    If a trial has several folds, the files of each lie below `fold-K/`. `refused`: why the missing files will not be
    uploaded; raises StoreUnavailable if the attempt has not ended yet.
    """
    attempt = _own_attempt(core, worker, call)
    below = _folder_of(core, attempt)
    _check_paths(below, call.files)
    if call.refused is not None:
        if AttemptState(attempt.state).live:
            raise StoreUnavailable(f"attempt {attempt.id} has not ended yet", "retry after it has ended")
        with locked(core, attempt.experiment) as ledger:
            pending_files.refused(ledger, attempt.id, call.refused)
        return KeptArtifacts([])
    _check_files(core, attempt, {below + item.path: item.size for item in call.files})
    announced = {item.digest: item.size for item in call.files}  # several paths may have the same content
    sizes = {digest: _commit(core, attempt, digest, size) for digest, size in announced.items()}
    for start in range(0, max(1, len(call.files)), _FILES_AT_ONCE):
        batch = call.files[start : start + _FILES_AT_ONCE]
        is_last = not call.more and start + _FILES_AT_ONCE >= len(call.files)
        with locked(core, attempt.experiment) as ledger:
            if not _keep(ledger, attempt, below, batch, sizes, is_last=is_last):
                return KeptArtifacts([])
    return KeptArtifacts([item.path for item in call.files])


def _keep(
    ledger: Ledger,
    attempt: AttemptRow,
    below: str,
    batch: Sequence[UploadedArtifact],
    sizes: Mapping[str, int],
    *,
    is_last: bool,
) -> bool:
    """Record artifacts, whose sizes are keyed by digest; return False if a newer attempt has replaced this one."""
    # In one order, so that two experiments with the same files cannot deadlock. The sweep finds blobs by these rows.
    for digest in sorted({item.digest for item in batch}):
        blobs.put(ledger.session, digest, "artifact", sizes[digest])
    if _newest(ledger, attempt) is None:
        return False
    rows = [
        ArtifactRow(
            experiment=attempt.experiment,
            trial=attempt.trial,
            path=below + item.path,
            attempt=attempt.id,
            digest=item.digest,
            size=sizes[item.digest],
            created_at=ledger.now,
        )
        for item in batch
    ]
    artifacts.put(ledger.session, rows)
    if is_last:
        pending_files.arrived(ledger, attempt.id)
    paths = [row.path[:_SHOWN_CHARACTERS] for row in rows[:_SHOWN_PATHS]]
    ledger.record("artifacts_kept", {"trial": attempt.trial, "files": len(rows), "paths": paths})
    return True


def checkpoint(core: Core, worker: str, call: PublishCheckpoint) -> Published:
    """Publish a checkpoint if the attempt is still the newest of its fold, so that two processes never share one.

    `age`: seconds since the last change of its files; a higher step reported by HTTP until then becomes its step.
    """
    attempt = _own_attempt(core, worker, call)
    step = storable(call.step)
    if call.age is not None:
        with core.store.reading() as session:
            step = points.furthest(session, attempt.id, session.now - call.age, step)
    size = _commit(core, attempt, call.digest, call.size)
    with locked(core, attempt.experiment) as ledger:
        blobs.put(ledger.session, call.digest, "checkpoint", size)
        if _newest(ledger, attempt) in (None, AttemptState.CANCELLED):
            return Published(False)
        published = {"attempt": attempt.id, "digest": call.digest, "step": step}
        where = {"experiment": attempt.experiment, "trial": attempt.trial, "fold": attempt.fold}
        ledger.session.run(PUBLISH_CHECKPOINT, where | {"checkpoint": json.dumps(published)})
        ledger.record("checkpoint_published", {"trial": attempt.trial, "step": step, "size": size})
    return Published(True)


def open_blob(core: Core, worker: str, digest: str) -> tuple[BinaryIO, int]:
    """Open a checkpoint that a trial of this worker's experiment may resume from; return a reader and its size.

    Raises NotFound for all other blobs, WorkerNotNeeded if the worker no longer exists.
    """
    with core.store.reading() as session:
        row = workers.get(session, worker)
        blob = blobs.get(session, check_digest(digest))
        if row is None:
            raise WorkerNotNeeded("this worker is no longer needed")
        may_read = claims.may_resume_from(session, row.experiment, digest)
    if blob is None or not may_read:
        raise NotFound(f"this experiment has no checkpoint {digest}")
    return core.files.open(blob_key(digest)), blob.size
