"""Archive of experiments in a folder or a bucket: `experiments/ID.jsonl.gz`, and `blobs/` by their digests."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from orchestune.archives import record
from orchestune.archives.copy_records import CopiedRecord
from orchestune.archives.format import EventItem, Head
from orchestune.errors import BadInput, NotFound, OrchestuneError
from orchestune.ports.files import FileStore

_RECORDS, _SUFFIX = "experiments/", ".jsonl.gz"
_BLOCK_BYTES = 1 << 20
_NEXT = ".next"
"""suffix of a record that replaces an older one, until the replacement is complete: objects are never overwritten"""


class ArchiveStore:
    """A `RecordSource` and `RecordTarget` on top of a file store."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    def records(self, on_damaged: Callable[[BadInput], None] | None = None) -> Iterator[record.VerifiedRecord]:
        """Yield all records. For a damaged one, call `hear` with the BadInput; without `hear`, raise it."""
        keys = list(self._files.keys(_RECORDS))
        for key in keys:
            if key.endswith(_SUFFIX) or (key.endswith(_SUFFIX + _NEXT) and key.removesuffix(_NEXT) not in keys):
                try:
                    verified = self._verified(key)
                except BadInput as error:
                    if on_damaged is None:
                        raise
                    on_damaged(error)
                else:
                    yield verified

    def fetch_record(self, experiment: str, target: Path) -> None:
        key = f"{_RECORDS}{experiment}{_SUFFIX}"
        self._fetch(self._stored_key(key) or key, target)

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        self._fetch(_blob(digest), target, size)
        with target.open("rb") as file:
            _check(file, digest)

    def has_blob(self, digest: str, size: int) -> bool:
        return self._files.size(_blob(digest)) == size

    def put_blob(self, digest: str, path: Path) -> None:
        with path.open("rb") as file:
            _check(file, digest)
            file.seek(0)
            self._files.put(_blob(digest), file)

    def put_record(self, path: Path) -> CopiedRecord:
        with path.open("rb") as file:
            verified = record.verify(file)
            head = verified.head
            missing = [digest for digest, size in head.files.items() if not self.has_blob(digest, size)]
            if missing:
                raise NotFound(f"{len(missing)} blobs of {head.handle} are missing", "upload them before the record")
            key = f"{_RECORDS}{head.experiment}{_SUFFIX}"
            copied = CopiedRecord(
                experiment=head.experiment, handle=head.handle, imported=False, counts=verified.counts
            )
            stored_key = self._stored_key(key)
            if stored_key is not None and self._files.size(stored_key) != path.stat().st_size:
                file.seek(0)
                if self._has_more(stored_key, head, record.last_event(file)):
                    return copied
                if stored_key == key:
                    self._make_room(key, file)  # the experiment continued after the stored record was written
            file.seek(0)
            self._files.put(key, file)
        counts = self._verified(key).counts
        if self._files.size(key + _NEXT) is not None:  # a first record needs no permission to delete
            self._files.delete(key + _NEXT)
        return {**copied, "imported": stored_key is None, "counts": counts}

    def _stored_key(self, key: str) -> str | None:
        """Return the key at which the record for `key` is stored, None if absent.

        It has the suffix `_NEXT` if an earlier replacement was interrupted.
        """
        return next((place for place in (key, key + _NEXT) if self._files.size(place) is not None), None)

    def _make_room(self, key: str, file: BinaryIO) -> None:
        """Store the new record with the suffix `_NEXT`, then delete the old one."""
        self._files.delete(key + _NEXT)
        file.seek(0)
        self._files.put(key + _NEXT, file)
        self._files.delete(key)

    def _has_more(self, key: str, sent: Head, last: EventItem | None) -> bool:
        """Return True if the stored record lacks only events of dropped files compared with the sent one."""
        try:
            stored_head = self._verified(key).head
        except BadInput:
            return False
        with self._files.open(key) as file:
            return stored_head.events < sent.events and record.last_event(file) == last

    def _verified(self, key: str) -> record.VerifiedRecord:
        with self._files.open(key) as file:
            try:
                return record.verify(file)
            except BadInput as error:
                raise record.with_location(error, file=key) from error

    def _fetch(self, key: str, target: Path, size: int | None = None) -> None:
        """Copy an object to `target`; of a larger one than `size` only so much, which its digest then reveals."""
        part = target.with_name(f".{target.name}.part")
        with self._files.open(key) as source, part.open("wb") as file:
            if size is None:
                shutil.copyfileobj(source, file)
            while size and (block := source.read(min(size, _BLOCK_BYTES))):
                file.write(block)
                size -= len(block)
        os.replace(part, target)


def _blob(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def _check(file: BinaryIO, digest: str) -> None:
    actual = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file will do
    if actual != digest:
        raise OrchestuneError(f"a blob is damaged (SHA-256 {actual[:12]}, not {digest[:12]})", "download it again")
