"""An experiment's whole record goes to another server, or comes from one."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Row

from orchestune import __version__
from orchestune.archives import record
from orchestune.domain import ids
from orchestune.domain.states import ExperimentState, WorkerState
from orchestune.errors import Conflict, NotFound, StoreUnavailable, UsageError
from orchestune.files.disk import disk_errors
from orchestune.ports.clock import new_id
from orchestune.services.change_experiment import clear
from orchestune.services.core import Core
from orchestune.services.log_bytes import LogBytes
from orchestune.services.read_trials import blob_key
from orchestune.store import archive, blobs, experiments, imports, logs, migrate
from orchestune.store.session import Session

_PATIENCE, _GLANCE = 10.0, 0.05
"""seconds for which one import of an experiment waits for another one, and from one look whether that is over to the
next
"""
_SIDE_BY_SIDE = 16
"""questions to the place of files: a bucket answers each after some hundredths of a second"""


def open_archive(core: Core, ref: str) -> tuple[BinaryIO, int]:
    """A reader of the record of an experiment, and its size. The caller closes it, and nothing is left of it."""
    spool = tempfile.TemporaryFile(prefix="orchestune-archive-")  # noqa: SIM115
    try:
        with disk_errors(Path(tempfile.gettempdir())):
            write(core, ref, spool)
        size = spool.tell()
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool, size


def write(core: Core, ref: str, target: BinaryIO) -> None:
    """Write the record of an experiment that is over. Conflict for one that is not."""
    with ExitStack() as reading:
        session = reading.enter_context(core.store.reading())
        row = experiments.find(session, ref)
        if not row.state.over:
            raise Conflict(f"{row.handle} is {row.state}", f"stop it first: orchestune stop {row.handle}")
        if row.hidden > 1:  # some of its rows may be gone
            raise Conflict(f"{row.handle} is being removed for good")
        named = archive.blobs_of(session, row.id)
        there = _sizes(core, named)  # a rule of the bucket, or a person, may have removed some
        blobs = {digest: size for digest, size in named.items() if there[digest] is not None}
        head = record.Head(migrate.head(), __version__, row.id, row.handle, blobs, row.event_seq)
        rows = archive.rows(session, row.id)
        record.write(target, head, _with_logs(core, rows, reading.close))


def _with_logs(
    core: Core, rows: Iterator[tuple[str, archive.Row]], all_are_read: Callable[[], None]
) -> Iterator[tuple[str, archive.Row]]:
    """The rows with what was printed. Logs that lie in files come last, where nothing is held open in the store: to
    fetch them may take long.
    """
    with tempfile.TemporaryFile("w+", prefix="orchestune-archive-") as elsewhere:
        for table, row in rows:
            if table != "log_segments":
                yield table, row
            elif row["object"] is None:
                yield table, row | {"data": base64.b64encode(row["data"] or b"").decode()}
            else:
                elsewhere.write(json.dumps(row) + "\n")
        all_are_read()
        elsewhere.seek(0)
        with LogBytes(core.files) as content:
            for segment in map(json.loads, elsewhere):
                data = base64.b64encode(content.read(segment)).decode()
                yield "log_segments", segment | {"data": data, "object": None, "object_offset": None}


class Records:
    """The experiments of this server that are over; fulfils `copying.Source`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def fetch_record(self, experiment: str, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        with part.open("wb") as file:
            write(self._core, experiment, file)
        os.replace(part, target)

    def fetch_blob(self, digest: str, size: int, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        with self._core.files.open(blob_key(digest)) as found, part.open("wb") as file:
            shutil.copyfileobj(found, file)
        os.replace(part, target)


def read(core: Core, source: BinaryIO) -> dict[str, Any]:
    """Take a record in, as a whole or not at all. One that is there already stays, unless this one continues it.

    `source` can be read again. BadInput where it is no such stream or not all of it, NotFound where one of its blobs
    is missing here, Conflict where the one that is there went on by itself. Answers
    `{"experiment", "handle", "imported", "rows"}`.
    """
    found = record.verify(source)
    head = found.head
    if head.schema not in migrate.revisions():
        text = f"the record was written by a newer version of Orchestune ({head.version})"
        raise UsageError(text, "upgrade this one first")
    _take_blobs(core, head)
    with _turn(core, head):
        with core.store.reading() as session:
            known = archive.present(session, head.experiment)
            older = known is not None and _goes_on(session, known, head, source)
        handle = known.handle if known is not None else _take_in(core, head, source)
        if known is not None and older:
            _replace(core, head, known, source)
    imported = known is None or older
    return {"experiment": head.experiment, "handle": handle, "imported": imported, "rows": found.rows}


@contextmanager
def _turn(core: Core, head: record.Head) -> Iterator[None]:
    """Nobody else imports it meanwhile: of several who do, one begins, and the others wait. StoreUnavailable where that
    takes long.
    """
    name, until = _name(head.experiment), time.monotonic() + _PATIENCE
    while not core.store.take_turn(name):
        if time.monotonic() > until:
            raise StoreUnavailable(f"{head.handle} is just being imported", "import it again in a while")
        time.sleep(_GLANCE)
    try:
        yield
    finally:
        core.store.leave_turn(name)


def _name(experiment: str) -> str:
    return f"import/{experiment}"


def _take_in(core: Core, head: record.Head, source: BinaryIO) -> str:
    """Its rows, a few at a time: others write meanwhile. Its own comes last, without which nobody finds them. Answers
    its handle.
    """
    token = new_id(core.clock)
    with core.store.transaction() as session:
        left = imports.begin(session, head.experiment, token)
    part = partial(_part, core, head.experiment, token)
    if left:
        clear(core, head.experiment, part)
    own: list[archive.Row] = []
    source.seek(0)
    for table, rows in record.tables(source):
        if table == "experiments":
            own = rows
            continue
        with part() as session:
            archive.add(session, table, [_received(table, row) for row in rows])
    with core.store.transaction() as session:
        imports.hold(session, head.experiment, token)
        handle = _free_handle(core, session, head.handle)
        archive.add(session, "experiments", [_own(row, handle, session.now) for row in own])
        imports.end(session, head.experiment)
    return handle


@contextmanager
def _part(core: Core, experiment: str, token: str) -> Iterator[Session]:
    with core.store.transaction(durable=False) as session:
        imports.hold(session, experiment, token)
        yield session


def _replace(core: Core, head: record.Head, known: Row[Any], source: BinaryIO) -> None:
    """What is another than here, at once: what is here stays where that is cut off. It is looked for before, while
    others write.
    """
    with tempfile.TemporaryFile(prefix="orchestune-archive-") as news:
        with core.store.reading() as session:
            record.write(news, head, _news(session, source))
        with core.store.transaction() as session:
            row = experiments.lock(session, head.experiment)
            if (row.event_seq, row.hidden) != (known.event_seq, known.hidden):
                raise StoreUnavailable(f"{known.handle} has just changed here", "import it again")
            archive.cut(session, head.experiment, head.events)
            news.seek(0)
            for table, rows in record.tables(news):
                own = table == "experiments"
                received = [_own(each, known.handle, session.now) if own else _received(table, each) for each in rows]
                archive.put(session, table, received)


def _news(session: Session, source: BinaryIO) -> Iterator[tuple[str, archive.Row]]:
    """The rows of a record that are not here as they come; of an attempt that is, all values that it reported are."""
    attempts: set[str] = set()
    source.seek(0)
    for table, rows in record.tables(source):
        if table == "points":
            yield from ((table, row) for row in rows if row["attempt"] in attempts)
            continue
        received = [_received(table, row) for row in rows]
        for row, come, here in zip(rows, received, archive.as_here(session, table, received), strict=True):
            if table == "experiments" or here is None or not _same(table, come, here):
                if table == "attempts":
                    attempts.add(row["id"])
                yield table, row


def _same(table: str, come: archive.Row, here: archive.Row) -> bool:
    """What was printed is, wherever it lies."""
    return table == "log_segments" or all(come[name] == here[name] for name in come.keys() & here.keys())


def sweep(core: Core, experiment: str) -> None:
    """Remove what an import that was cut off has left; of one that goes on nothing."""
    if not core.store.take_turn(_name(experiment)):
        return
    try:
        token = new_id(core.clock)
        with core.store.transaction() as session:
            left = imports.take_over(session, experiment, token)
        if left:
            clear(core, experiment, partial(_part, core, experiment, token))
            with _part(core, experiment, token) as session:
                imports.end(session, experiment)
    finally:
        core.store.leave_turn(_name(experiment))


def _goes_on(session: Session, known: Row[Any], head: record.Head, source: BinaryIO) -> bool:
    """Whether the record goes on from what is here. Conflict unless one of the two is the other one at an earlier time,
    and the one here is over if it is that.
    """
    if known.hidden > 1:
        raise Conflict(f"{known.handle} is being removed for good here", "import it again once it is gone")
    source.seek(0)
    here = logs.last_event(session, head.experiment, record.FILES_DROPPED)
    there = int(record.last_event(source)["seq"])
    last = min(here, there)
    source.seek(0)
    sent = record.event(source, last)
    found = [(row.seq, row.at, row.kind) for row in logs.events_after(session, head.experiment, last - 1, 1)]
    same = sent is not None and found == [(sent["seq"], sent["at"], sent["kind"])]
    if not same or (here < there and not ExperimentState(known.state).over):
        raise Conflict(
            f"{known.handle}, which is {known.state} here, went on here by itself since the two were the same",
            f"it stays; to have the other one instead, remove it first: orchestune delete {known.handle} --purge",
        )
    return here < there


def _own(row: archive.Row, handle: str, now: float) -> archive.Row:
    """In lists again, where it was deleted: somebody wants it."""
    return row | {"handle": handle, "request_key": None, "imported_at": now, "hidden": 0}


def _received(table: str, row: archive.Row) -> archive.Row:
    if table == "workers":
        last = row["ended_at"] or row["seen_at"] or row["created_at"]
        return row | {"state": WorkerState.ENDED, "handle": None, "ended_at": last}  # of a place that nobody here sees
    if table == "log_segments":
        return row | {"data": base64.b64decode(row["data"])}
    return row


def _take_blobs(core: Core, head: record.Head) -> None:
    with core.store.transaction() as session:
        for digest in head.blobs:
            blobs.hold(session, digest)
    there = _sizes(core, head.blobs)
    missing = [digest for digest, size in head.blobs.items() if there[digest] != size]
    if missing:
        raise NotFound(f"{len(missing)} blobs of {head.handle} are not here", "send them before the record")
    with core.store.transaction() as session:
        for digest, size in head.blobs.items():
            blobs.put(session, digest, "bundle", size)


def _sizes(core: Core, digests: Collection[str]) -> dict[str, int | None]:
    """What the place of files has of these blobs, which it is asked for side by side: there may be thousands."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        return dict(zip(digests, threads.map(core.files.size, map(blob_key, digests)), strict=True))


def _free_handle(core: Core, session: Session, wanted: str) -> str:
    """The same handle, or, where another experiment has it here, one with other characters at its end."""
    handle = wanted
    while archive.handle_is_taken(session, handle):
        handle = ids.handle(wanted.rpartition("-")[0] or wanted, core.clock.entropy(4))
    return handle
