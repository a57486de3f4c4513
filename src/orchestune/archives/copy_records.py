"""Copying of experiments between servers and archives. Files that the target already has are not sent again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypedDict

from orchestune.archives import record
from orchestune.domain.words import plural
from orchestune.errors import OrchestuneError


class RecordSource(Protocol):
    """A server or archive to copy experiments from. All methods are idempotent."""

    def fetch_record(self, experiment: str, target: Path) -> None:
        """Write the record to the file `target`, atomically."""

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        """Write a blob, whose digest has been verified, to the file `target`, atomically."""


class CopiedRecord(TypedDict):
    """Outcome of storing a record at its target."""

    experiment: str
    handle: str
    """a new handle if the original one was taken"""
    imported: bool
    """False if the target already had the experiment"""
    counts: dict[str, int]
    """items of the record by type"""


class RecordTarget(Protocol):
    """A server or archive to copy experiments to. All methods are idempotent."""

    def has_blob(self, digest: str, size: int) -> bool:
        """Return True if the target has the complete blob."""

    def put_blob(self, digest: str, path: Path) -> None:
        """Store a blob; raises an error if its digest differs."""

    def put_record(self, path: Path) -> CopiedRecord:
        """Store a record atomically. Its blobs must have been stored before."""


def copy(
    source: RecordSource,
    target: RecordTarget,
    experiment: str,
    scratch: Path,
    say: Callable[[str], None] = lambda text: None,
) -> CopiedRecord:
    """Copy one experiment with all its files, and verify that it arrived completely.

    `scratch` is a folder for files in transit; a retry reuses what an interrupted copy has left there.
    """
    path = scratch / f"{experiment}.jsonl.gz"
    source.fetch_record(experiment, path)
    with path.open("rb") as file:
        verified = record.verify(file)
    if verified.lost:
        lost_files = plural(verified.lost, "file")
        say(f"{verified.head.handle}: {lost_files} that its trials kept could not be copied: they no longer exist")
    missing = {digest: size for digest, size in verified.head.files.items() if not target.has_blob(digest, size)}
    if missing:
        say(f"{verified.head.handle}: copying {plural(len(missing), 'file')}, {sum(missing.values()):,} bytes")
    for digest, size in missing.items():
        blob = scratch / digest
        source.fetch_blob(digest, size, blob)
        target.put_blob(digest, blob)
        blob.unlink()
    copied = target.put_record(path)
    if copied["counts"] != verified.counts:
        raise OrchestuneError(
            f"the copy of {verified.head.handle} is incomplete: {copied['counts']} items (expected {verified.counts})",
            "retry",
        )
    path.unlink()
    return copied
