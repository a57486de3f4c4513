"""Export of an experiment's whole record as a stream, signed by this server."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from orchestune import __version__
from orchestune.archives import record
from orchestune.archives.format import Head, Item
from orchestune.domain.lifecycle.states import Visibility
from orchestune.errors import Conflict
from orchestune.files.disk import disk_errors
from orchestune.services.bundles import blob_key
from orchestune.services.core import Core
from orchestune.services.queries.log_bytes import LogBytes
from orchestune.services.queries.record_rows import item_of
from orchestune.services.signatures import record_signature
from orchestune.store import archive, experiments
from orchestune.store.log_compression import unpacked
from orchestune.store.logs import LogSegment

_CONCURRENCY = 16  # parallel requests to the file store: a bucket takes tens of milliseconds for each


def _continue() -> None:
    """Default check of `open_archive` and `write`: never aborts the export."""


class OpenArchive(NamedTuple):
    """A temporary file with the record of an experiment, and its size in bytes. Closing the file deletes it."""

    file: BinaryIO
    size: int
    experiment: str
    handle: str


def open_archive(core: Core, ref: str, check: Callable[[], None] = _continue) -> OpenArchive:
    """Export an experiment into a temporary file, which the caller closes.

    `check` is called at the start and before each row; an exception of it aborts the export.
    """
    check()
    with ExitStack() as on_error:
        spool = on_error.enter_context(tempfile.TemporaryFile(prefix="orchestune-archive-"))
        with disk_errors(Path(tempfile.gettempdir())):
            head = write(core, ref, spool, check)
        size = spool.tell()
        spool.seek(0)
        on_error.pop_all()
    return OpenArchive(spool, size, head.experiment, head.handle)


def write(core: Core, ref: str, target: BinaryIO, check: Callable[[], None] = _continue) -> Head:
    """Write the signed record of an experiment and return its head. Raises Conflict if it is not over."""
    with ExitStack() as reading:
        session = reading.enter_context(core.store.reading())
        row = experiments.find(session, ref)
        if not row.state.over:
            raise Conflict(f"{row.handle} is {row.state}", f"stop it first: orchestune stop {row.handle}")
        if row.visibility is Visibility.PURGING:  # some of its rows may be deleted already
            raise Conflict(f"{row.handle} is being purged")
        named = archive.blobs_of(session, row.id)
        sizes = blob_sizes(core, named)  # a lifecycle rule of the bucket, or a user, may have deleted some
        blobs = {digest: size for digest, size in named.items() if sizes[digest] is not None}
        head = Head(__version__, row.id, row.handle, blobs, row.event_seq)
        rows = archive.rows(session, row.id)
        record.write(target, head, _items(core, rows, reading.close, check), partial(record_signature, core))
    return head


def _items(
    core: Core,
    rows: Iterator[tuple[str, archive.Row]],
    all_are_read: Callable[[], None],
    check: Callable[[], None],
) -> Iterator[Item]:
    """Yield the items of all rows, logs with their bytes.

    Logs in the file store come last, after the read transaction has ended, since fetching them may take long.
    """
    with tempfile.TemporaryFile("w+", prefix="orchestune-archive-") as elsewhere:
        for table, row in rows:
            check()
            if table != "log_segments":
                yield item_of(table, row)
            elif row["object_key"] is None:
                yield item_of(table, row | {"data": unpacked(row["data"], row["length"])})
            else:
                elsewhere.write(json.dumps(row) + "\n")
        all_are_read()
        elsewhere.seek(0)
        with LogBytes(core.files) as content:
            for segment in map(json.loads, elsewhere):
                check()
                yield item_of("log_segments", segment | {"data": content.read(msgspec.convert(segment, LogSegment))})


class Records:
    """Finished experiments of this server as a `copying.Source`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def fetch_record(self, experiment: str, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        with part.open("wb") as file:
            write(self._core, experiment, file)
        os.replace(part, target)

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        with self._core.files.open(blob_key(digest)) as blob, part.open("wb") as file:
            shutil.copyfileobj(blob, file)
        os.replace(part, target)


def blob_sizes(core: Core, digests: Collection[str]) -> dict[str, int | None]:
    """Return the size of each blob in the file store, None if absent. Concurrent, since there may be thousands."""
    with ThreadPoolExecutor(_CONCURRENCY) as threads:
        return dict(zip(digests, threads.map(core.files.size, map(blob_key, digests)), strict=True))
