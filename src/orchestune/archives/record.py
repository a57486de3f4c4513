"""The whole record of one experiment as a stream of bytes; its blobs travel beside it, by their digests.

Gzipped lines of JSON: a head (`Head`), one line `[table, row]` for each row, and an end that counts the rows and
carries the SHA-256 of all lines before it. What was cut off or changed on the way is therefore noticed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, cast

from orchestune.errors import BadInput

FORMAT = 1
FILES_DROPPED = "files_dropped"
"""the event of what each server that has an experiment does by itself: nobody's record goes on by it"""
_BUNCH = 500
_ENCODER = json.JSONEncoder(separators=(",", ":"))

Row = dict[str, Any]


@dataclass(frozen=True)
class Head:
    """What the stream begins with."""

    schema: str
    """revision of the store's schema"""
    version: str
    experiment: str
    handle: str
    blobs: dict[str, int]
    """digest → bytes of what belongs to it and lies in the file store"""
    events: int
    """the number of its last event: of two records of one experiment, the newer one has more"""
    format: int = FORMAT


@dataclass(frozen=True)
class Record:
    """A stream that was read to its end and found whole."""

    head: Head
    rows: dict[str, int]
    """rows by table"""
    lost: int = 0
    """files that its trials kept, and that were no longer there when it was written"""


def write(target: BinaryIO, head: Head, rows: Iterable[tuple[str, Row]]) -> None:
    """Write the stream of an experiment with these rows."""
    counted: Counter[str] = Counter()
    seen = hashlib.sha256()
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0) as packed:

        def add(document: Any) -> None:
            line = _ENCODER.encode(document).encode() + b"\n"
            seen.update(line)
            packed.write(line)

        add(asdict(head))
        for table, row in rows:
            counted[table] += 1
            add([table, row])
        add({"rows": dict(counted), "sha256": seen.hexdigest()})


def verify(source: BinaryIO) -> Record:
    """Read the whole stream. BadInput, with the handle if that can be read, where it is none, cut off or changed."""
    head: Head | None = None
    try:
        lines = _lines(source)
        first = next(lines, None)
        if first is None:
            raise _damaged("its end is missing")
        head = _head(_parsed(first))
        return _verified(head, first, lines)
    except BadInput as error:
        if head is None:
            raise
        raise told(error, key=head.handle) from error


def told(error: BadInput, *, key: str = "", file: str = "") -> BadInput:
    """The same mistakes, and of what or in which file they are."""
    found = [replace(one, key=key or one.key, file=file or one.file) for one in error.problems]
    return BadInput(found, error.hint)


def _verified(head: Head, first: bytes, lines: Iterator[bytes]) -> Record:
    counted: Counter[str] = Counter()
    seen, end, lost = hashlib.sha256(first), None, 0
    for line in lines:
        if end is not None:
            raise _damaged("something follows its end")
        document = _parsed(line)
        if isinstance(document, dict):
            end = document
            continue
        try:
            counted[str(document[0])] += 1
            lost += document[0] == "artifacts" and document[1]["digest"] not in head.blobs
        except (TypeError, LookupError) as error:
            raise _damaged("a line is no row of a table") from error
        seen.update(line)
    if end is None:
        raise _damaged("its end is missing")
    if end.get("sha256") != seen.hexdigest() or end.get("rows") != dict(counted):
        raise _damaged("its checksum is another one")
    return Record(head, dict(counted), lost)


def tables(source: BinaryIO) -> Iterator[tuple[str, list[Row]]]:
    """The rows of a verified stream, in bunches of one table each."""
    name, found = "", list[Row]()
    lines = _lines(source)
    next(lines)
    for line in lines:
        document = json.loads(line)
        if isinstance(document, dict):
            break
        table, row = document
        if found and (table != name or len(found) >= _BUNCH):
            yield name, found
            found = []
        name = table
        found.append(row)
    if found:
        yield name, found


def event(source: BinaryIO, number: int) -> Row | None:
    """The event of this number in a verified stream."""
    return next((row for row in _events(source) if row["seq"] == number), None)


def last_event(source: BinaryIO) -> Row:
    """The last event in a verified stream, but for `FILES_DROPPED`; of number 0 where there is none."""
    own = (row for row in _events(source) if row["kind"] != FILES_DROPPED)
    return max(own, key=lambda row: int(row["seq"]), default={"seq": 0})


def _events(source: BinaryIO) -> Iterator[Row]:
    for line in _lines(source):
        if line.startswith(b'["events",'):
            yield cast(Row, json.loads(line)[1])


def _lines(source: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as packed:
            yield from packed
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(str(error)) from error


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise _damaged("a line is no JSON") from error


def _head(document: Any) -> Head:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput.one("this is no record of an experiment that this version can read")
    try:
        return Head(**document)
    except TypeError as error:
        raise _damaged("its head is another one") from error


def _damaged(text: str) -> BadInput:
    return BadInput.one(f"the record is damaged or not whole: {text}", hint="fetch it again")
