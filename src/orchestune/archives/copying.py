"""Copies experiments from where they are to where they shall stay. What is there already is not sent again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypedDict

from orchestune.archives import record
from orchestune.domain.words import plural
from orchestune.errors import OrchestuneError


class Source(Protocol):
    """A server or a shelf that has experiments. Every call may be repeated."""

    def fetch_record(self, experiment: str, target: Path) -> None:
        """Write the record to the file `target`, which appears whole or not at all."""

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        """The same for a blob; its digest was checked."""


class Placed(TypedDict):
    """What became of a record at its target."""

    experiment: str
    handle: str
    """another one than before where that was taken"""
    imported: bool
    """False: it was there already"""
    counts: dict[str, int]
    """items of the record by type"""


class Target(Protocol):
    """A server or a shelf that takes experiments. Every call may be repeated."""

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether the blob is there, whole."""

    def put_blob(self, digest: str, path: Path) -> None:
        """Take a blob; one whose digest is another is refused."""

    def put_record(self, path: Path) -> Placed:
        """Take a record whose blobs are there; whole or not at all."""


def copy(
    source: Source, target: Target, experiment: str, scratch: Path, say: Callable[[str], None] = lambda text: None
) -> Placed:
    """Copy one experiment with everything that belongs to it, and make sure that it arrived.

    `scratch` is a folder for what is on its way; what an interrupted copy left there is used again.
    """
    path = scratch / f"{experiment}.jsonl.gz"
    source.fetch_record(experiment, path)
    with path.open("rb") as file:
        sent = record.verify(file)
    if sent.lost:
        lost = plural(sent.lost, "file")
        say(f"{sent.head.handle}: {lost} that its trials kept could not be copied: no longer there")
    missing = {digest: size for digest, size in sent.head.files.items() if not target.has_blob(digest, size)}
    if missing:
        say(f"{sent.head.handle}: copying {plural(len(missing), 'file')}, {sum(missing.values()):,} bytes")
    for digest, size in missing.items():
        blob = scratch / digest
        source.fetch_blob(digest, size, blob)
        target.put_blob(digest, blob)
        blob.unlink()
    placed = target.put_record(path)
    if placed["counts"] != sent.counts:
        raise OrchestuneError(
            f"{sent.head.handle} did not arrive whole: {sent.counts} were sent, {placed['counts']} came", "try again"
        )
    path.unlink()
    return placed
