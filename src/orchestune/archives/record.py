"""The complete record of one experiment as a byte stream; its files are transferred separately, by their digests.

The stream is gzipped JSON lines, as `format` describes them: a head, the items, and an end with the number of items and
the SHA-256 of all preceding lines, which detects truncation and modification.

Records are untrusted input, so reading one takes bounded memory whatever it contains: lines have a maximum length, and
nested documents stay bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import msgspec

from orchestune.archives import format
from orchestune.archives.format import ArtifactItem, EndItem, EventItem, Head, Item
from orchestune.errors import BadInput, UsageError

FILES_DROPPED = "files_dropped"
"""kind of an event that each server with a copy of the experiment records on its own; it makes no record newer"""
MAX_LINE = 24 * 2**20  # bytes of an item: the largest request body, 16 MiB, may be a single log part in base64
MAX_HEAD = 32 * 2**20  # bytes of the head, which lists up to 450,000 files
_BATCH_ITEMS = 500  # maximum number of items
_BATCH_BYTES = 4 * 2**20  # maximum bytes of the items of a batch, unless a single item is larger


@dataclass(frozen=True)
class VerifiedRecord:
    """A stream that was read to its end and verified."""

    head: Head
    counts: dict[str, int]
    """items by type"""
    lost: int = 0
    """files that its trials kept, and that no longer existed when the record was written"""
    digest: str = ""
    """SHA-256 of all lines except the end"""
    signature: str = ""
    """the writing server's signature of the digest; empty if unsigned"""


def write(target: BinaryIO, head: Head, items: Iterable[Item], sign: Callable[[str], str] | None = None) -> None:
    """Write the stream of an experiment with these items. `sign` returns the signature of a digest."""
    counts: Counter[str] = Counter()
    checksum = hashlib.sha256()
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0) as packed:

        def add(line: Head | Item) -> None:
            encoded = format.encode(line)
            checksum.update(encoded)
            packed.write(encoded)

        add(head)
        for item in items:
            counts[format.type_of(item)] += 1
            add(item)
        digest = checksum.hexdigest()
        packed.write(format.encode(EndItem(dict(counts), digest, sign(digest) if sign else "")))


def verify(source: BinaryIO) -> VerifiedRecord:
    """Read and verify the whole stream.

    Raises BadInput, with the handle if it is readable, if the stream is not a record, truncated or modified. Raises
    UsageError if its format is newer than this version supports.
    """
    head: Head | None = None
    try:
        lines = _lines(source)
        first = next(lines, None)
        if first is None:
            raise _damaged("its end is missing")
        head = _head(first)
        return _verified(head, first, lines)
    except BadInput as error:
        if head is None:
            raise
        raise with_location(error, key=head.handle) from error


def with_location(error: BadInput, *, key: str = "", file: str = "") -> BadInput:
    """Return the same error with the experiment (`key`) or file added to each problem that has none."""
    return BadInput(
        [replace(problem, key=key or problem.key, file=file or problem.file) for problem in error.problems],
        error.hint,
    )


def _verified(head: Head, first: bytes, lines: Iterator[bytes]) -> VerifiedRecord:
    counts: Counter[str] = Counter()
    checksum, end, lost = hashlib.sha256(first), None, 0
    for line in lines:
        if end is not None:
            raise _damaged("data follows its end")
        item = _decoded(line, sum(counts.values()) + 2)
        if isinstance(item, EndItem):
            end = item
            continue
        counts[format.type_of(item)] += 1
        lost += isinstance(item, ArtifactItem) and item.digest not in head.files
        checksum.update(line)
    if end is None:
        raise _damaged("its end is missing")
    if end.sha256 != checksum.hexdigest() or end.counts != counts:
        raise _damaged("its checksum does not match")
    return VerifiedRecord(head, dict(counts), lost, checksum.hexdigest(), end.signature)


def items(source: BinaryIO) -> Iterator[Item]:
    """Yield the items of a verified stream."""
    for item, _ in _items(source):
        yield item


def _items(source: BinaryIO) -> Iterator[tuple[Item, int]]:
    """Yield the items with the lengths of their lines."""
    lines = _lines(source)
    next(lines)
    for line in lines:
        item = format.decode(line)
        if isinstance(item, EndItem):
            return
        yield item, len(line)


def batches(source: BinaryIO) -> Iterator[list[Item]]:
    """Yield the items of a verified stream in batches of one type each."""
    batch, size = list[Item](), 0
    for item, length in _items(source):
        if batch and (type(item) is not type(batch[0]) or len(batch) >= _BATCH_ITEMS or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def event(source: BinaryIO, number: int) -> EventItem | None:
    """Return the event of this number in a verified stream, None if absent."""
    return next((event_item for event_item in _events(source) if event_item.number == number), None)


def last_event(source: BinaryIO) -> EventItem | None:
    """Return the last event in a verified stream except `FILES_DROPPED`, None if absent."""
    own_events = (event_item for event_item in _events(source) if event_item.kind != FILES_DROPPED)
    return max(own_events, key=lambda event_item: event_item.number, default=None)


def _events(source: BinaryIO) -> Iterator[EventItem]:
    return (item for item in items(source) if isinstance(item, EventItem))


def _lines(source: BinaryIO) -> Iterator[bytes]:
    limit = MAX_HEAD
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as packed:
            while line := packed.readline(limit + 1):
                if len(line) > limit:
                    raise _damaged(f"a line is longer than {limit:,} bytes")
                yield line
                limit = MAX_LINE
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(str(error)) from error


def _head(line: bytes) -> Head:
    version = format.version_of(line)
    if version is None:
        raise BadInput.one("not a record of an experiment")
    if version > format.VERSION:
        text = f"the record has version {version} of its format (this Orchestune reads up to {format.VERSION})"
        raise UsageError(text, "upgrade Orchestune here first")
    try:
        return format.decode_head(line)
    except format.ERRORS as error:
        raise BadInput.one(f"line 1 does not fit the format: {error}") from error


def _decoded(line: bytes, number: int) -> Item | EndItem:
    try:
        return format.decode(line)
    except msgspec.ValidationError as error:
        raise BadInput.one(f"line {number:,} does not fit the format: {error}") from error
    except format.ERRORS as error:
        raise _damaged(f"line {number:,}: {error}") from error


def _damaged(text: str) -> BadInput:
    return BadInput.one(f"the record is damaged or incomplete: {text}", hint="download it again")
