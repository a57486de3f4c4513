"""The whole record of one experiment as a stream of bytes; its blobs travel beside it, by their digests.

Gzipped lines of JSON: a head (`Head`), one line `[table, row]` for each row, and an end that counts the rows and
carries the SHA-256 of all lines before it. What was cut off or changed on the way is therefore noticed.

A record may come from anywhere, so reading one takes bounded memory whatever it contains: lines have a maximum length,
and their structure is checked before they are parsed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, cast

from orchestune.errors import BadInput

FORMAT = 1
FILES_DROPPED = "files_dropped"
"""the event of what each server that has an experiment does by itself: nobody's record goes on by it"""
MAX_LINE = 24 * 2**20  # bytes of a row: the largest body of a request, 16 MiB, may be a single log segment in base64
MAX_HEAD = 32 * 2**20  # bytes of the head, which lists up to 450,000 blobs
_BUNCH = 500  # rows at most
_BUNCH_BYTES = 4 * 2**20  # of rows that are handed over together, unless a single one has more
_MAX_CELLS = 100  # columns of a row
_BLOB_BYTES = 64  # of each entry of a head, at least: its digest
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_ID = re.compile(r"[0-9a-z-]{1,36}")
_HANDLE = re.compile(r"[0-9a-z-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
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
    digest: str = ""
    """the SHA-256 of its lines, without the end"""
    signature: str = ""
    """of the digest, by the server that wrote it; empty if it signs none"""


def write(
    target: BinaryIO, head: Head, rows: Iterable[tuple[str, Row]], sign: Callable[[str], str] | None = None
) -> None:
    """Write the stream of an experiment with these rows. `sign` makes the signature of its digest."""
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
        digest = seen.hexdigest()
        add({"rows": dict(counted), "sha256": digest} | ({"signature": sign(digest)} if sign else {}))


def verify(source: BinaryIO) -> Record:
    """Read the whole stream.

    BadInput if it is no record, cut off or changed, with the handle if that is readable.
    """
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
        table, row = _table_row(document)
        counted[table] += 1
        lost += table == "artifacts" and row.get("digest") not in head.blobs
        seen.update(line)
    if end is None:
        raise _damaged("its end is missing")
    if end.get("sha256") != seen.hexdigest() or end.get("rows") != dict(counted):
        raise _damaged("its checksum is another one")
    signature = end.get("signature")
    signature = signature if isinstance(signature, str) and _DIGEST.fullmatch(signature) else ""
    return Record(head, dict(counted), lost, seen.hexdigest(), signature)


def _table_row(document: Any) -> tuple[str, Row]:
    if not isinstance(document, list) or len(document) != 2:
        raise _damaged("a line is no row of a table")
    table, row = document
    if not isinstance(table, str) or not isinstance(row, dict):
        raise _damaged("a line is no row of a table")
    return table, row


def rows(source: BinaryIO) -> Iterator[tuple[str, Row]]:
    """The rows of a verified stream, one by one."""
    for table, row, _ in _rows(source):
        yield table, row


def _rows(source: BinaryIO) -> Iterator[tuple[str, Row, int]]:
    """The same with the length of each line."""
    lines = _lines(source)
    next(lines)
    for line in lines:
        document = json.loads(line)
        if isinstance(document, dict):
            return
        table, row = document
        yield table, row, len(line)


def tables(source: BinaryIO) -> Iterator[tuple[str, list[Row]]]:
    """The rows of a verified stream, in bunches of one table each."""
    name, found, size = "", list[Row](), 0
    for table, row, length in _rows(source):
        if found and (table != name or len(found) >= _BUNCH or size + length > _BUNCH_BYTES):
            yield name, found
            found, size = [], 0
        name = table
        found.append(row)
        size += length
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


def _parsed(line: bytes) -> Any:
    _check_structure(line)
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged("a line is no JSON") from error


def _check_structure(line: bytes) -> None:
    """Refuse a line that would take much more memory than its own bytes: deep nesting, or very many tiny values.

    A row is a list of a word and a flat object; the head and the end are objects with a single flat one inside.
    """
    is_row = line.startswith(b"[")
    brackets, braces, limit = (1, 1, _MAX_CELLS) if is_row else (0, 2, _MAX_CELLS + len(line) // _BLOB_BYTES)
    if line.count(b'"') - line.count(b'\\"') > 4 * limit:  # each is cut out below, which takes memory by itself
        raise _damaged("a line is no row of a table")
    structure = _STRINGS.sub(b"", line)
    if structure.count(b"[") > brackets or structure.count(b"{") > braces or structure.count(b",") > limit:
        raise _damaged("a line is no row of a table")


def _head(document: Any) -> Head:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput.one("this is no record of an experiment that this version can read")
    try:
        head = Head(**document)
    except TypeError as error:
        raise _damaged("its head is another one") from error
    if not _is_sound(head):
        raise _damaged("its head is another one")
    return head


def _is_sound(head: Head) -> bool:
    """Return True if every field has its type and form. Ids and digests become names of files, so their form counts."""
    texts: tuple[object, ...] = (head.schema, head.version, head.experiment, head.handle)
    if not all(isinstance(text, str) and len(text) <= 64 for text in texts) or not isinstance(head.blobs, dict):
        return False
    sizes: tuple[object, ...] = (head.events, *head.blobs.values())
    return (
        _ID.fullmatch(head.experiment) is not None
        and _HANDLE.fullmatch(head.handle) is not None
        and all(_DIGEST.fullmatch(digest) for digest in head.blobs)
        and all(isinstance(size, int) and type(size) is int and 0 <= size < 2**63 for size in sizes)
    )


def _damaged(text: str) -> BadInput:
    return BadInput.one(f"the record is damaged or not whole: {text}", hint="fetch it again")
