"""Bundles: archives of users' code, addressed by their SHA-256."""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO

from orchestune import documents
from orchestune.errors import BadInput, NotFound
from orchestune.services.core import Core
from orchestune.store import blobs

_PART_BYTES = 4 * 2**20


def blob_key(digest: str) -> str:
    """Return the file store's key of a blob with this SHA-256 digest."""
    return f"blobs/{digest[:2]}/{digest}"


def check_digest(digest: str) -> str:
    """Return `digest`. Raises BadInput if it is not a SHA-256 in hex."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadInput.one(f"invalid digest: '{digest}' (expected a SHA-256 in hex)", key="digest")
    return digest


def has(core: Core, digest: str) -> bool:
    """Return True if the bundle is stored; its garbage collection is then deferred so that the caller can use it."""
    with core.store.transaction() as session:
        is_stored = blobs.use(session, check_digest(digest))
    return is_stored and core.files.size(blob_key(digest)) is not None


def need(core: Core, digest: str) -> None:
    """Raise NotFound if the bundle is not stored."""
    with core.store.reading() as session:
        is_stored = blobs.get(session, check_digest(digest)) is not None
    if not is_stored:
        raise missing(digest)


def missing(digest: str) -> NotFound:
    """Return the error for a bundle that is not stored."""
    return NotFound(f"no bundle {digest} on this server", "upload it first")


def store(core: Core, digest: str, stream: BinaryIO) -> documents.Bundle:
    """Store an archive. Raises BadInput if its SHA-256 is not `digest`. An interrupted call leaves nothing behind."""
    check_digest(digest)
    upload = f"bundle-{digest}-{core.clock.entropy(6).hex()}"
    received, offset = hashlib.sha256(), 0
    try:
        while part := stream.read(_PART_BYTES):
            received.update(part)
            offset = core.files.append(upload, offset, part)
        if received.hexdigest() != digest:
            raise BadInput.one(f"the archive's SHA-256 is {received.hexdigest()}, not {digest}", key="bundle")
        with core.store.transaction() as session:
            blobs.hold(session, digest)
        size = core.files.commit(upload, blob_key(digest), digest)
    finally:
        core.files.abort(upload)
    with core.store.transaction() as session:
        blobs.put(session, digest, "bundle", size)
    return {"digest": digest, "size": size}


def open_bundle(core: Core, digest: str, experiment: str | None = None) -> tuple[BinaryIO, int]:
    """Return a stream and its size in bytes. With `experiment`, only bundles that its trials run are found."""
    with core.store.reading() as session:
        blob = blobs.get(session, check_digest(digest))
        if experiment is not None and not blobs.runs_bundle(session, experiment, digest):
            blob = None
    if blob is None:
        raise NotFound(f"no bundle {digest} on this server")
    try:
        return core.files.open(blob_key(digest)), blob.size
    except NotFound as error:
        hint = "start the experiment again from the code's folder, which uploads the code"
        raise NotFound("the code is missing in the server's file store", hint) from error
