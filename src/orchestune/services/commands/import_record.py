"""Import of an experiment's record from another server, or from this one at an earlier time.

A record is untrusted input and may come from an attacker. It is checked item by item (`check_record`). A record not
signed by this server is refused until the caller has confirmed its contents. Regardless of its rows, an imported
experiment is stopped, its trials are over and its workers have ended, so that nothing runs before a user resumes,
extends or reruns it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from orchestune.archives import format, record
from orchestune.archives.copy_records import CopiedRecord
from orchestune.archives.format import Head, Item
from orchestune.archives.summary import contents
from orchestune.domain.lifecycle import ids
from orchestune.domain.lifecycle.states import Desired, ExperimentState, FoldState, Visibility, WorkerState
from orchestune.domain.lifecycle.transitions import FOLD, Cause, after, experiment_state
from orchestune.domain.specification import stopping
from orchestune.domain.specification.experiment import IMPORTED
from orchestune.errors import BadInput, Conflict, NotFound, StoreUnavailable, Unverified
from orchestune.ports.clock import new_id
from orchestune.services.commands.change_experiment import clear
from orchestune.services.commands.check_record import CheckedRecord, check, finished
from orchestune.services.core import Core
from orchestune.services.queries import read_experiments
from orchestune.services.queries.export_record import blob_sizes
from orchestune.services.queries.record_rows import TABLE_OF, row_of
from orchestune.services.signatures import is_own_signature
from orchestune.store import archive, blobs, experiments, imports, logs, trials
from orchestune.store.session import Session

_LOCK_TIMEOUT_SECONDS, _POLL_SECONDS = 10.0, 0.05
"""timeout and polling interval, in seconds, of an import blocked on another import of the same experiment"""


def read(core: Core, source: BinaryIO, trust: str = "") -> CopiedRecord:
    """Import a record atomically. An existing experiment is kept unless the record continues it.

    `source` is read several times. `trust` is the digest of a record whose contents the caller has confirmed; this
    server's own records need none.

    Raises BadInput if the record is damaged or malformed, Unverified if another server wrote it and `trust` is not its
    digest, NotFound if one of its blobs is missing, Conflict if the stored experiment and the record have diverged.
    """
    source.seek(0)
    verified = record.verify(source)
    head = verified.head
    checked = check(head, source)
    is_own = is_own_signature(core, verified.digest, verified.signature)
    if not is_own and trust != verified.digest:
        raise _unverified(verified, source)
    _take_blobs(core, head)
    incoming = _Import(core, checked, is_own)
    with _import_lock(core, head):
        with core.store.reading() as session:
            stored = archive.present(session, head.experiment)
            older = stored is not None and _continues(session, stored, head, source)
        handle = stored.handle if stored is not None else incoming.take_in(source)
        if stored is not None and older:
            incoming.replace(stored, source)
    imported = stored is None or older
    return CopiedRecord(experiment=head.experiment, handle=handle, imported=imported, counts=verified.counts)


def _unverified(verified: record.VerifiedRecord, source: BinaryIO) -> Unverified:
    source.seek(0)
    return Unverified(
        f"the record of {verified.head.handle} was not written by this server: it is unverified, and nothing of it "
        "was imported",
        f"check `contents`; to import it, repeat the request with ?trust={verified.digest}",
        contents(verified, source),
    )


@contextmanager
def _import_lock(core: Core, head: Head) -> Iterator[None]:
    """Hold the import lock of an experiment. Raises StoreUnavailable if it times out."""
    name, until = _name(head.experiment), time.monotonic() + _LOCK_TIMEOUT_SECONDS
    while not core.store.acquire_lock(name):
        if time.monotonic() > until:
            raise StoreUnavailable(f"another import of {head.handle} is running", "retry later")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        core.store.release_lock(name)


def _name(experiment: str) -> str:
    return f"import/{experiment}"


@contextmanager
def _part(core: Core, experiment: str, token: str) -> Iterator[Session]:
    with core.store.transaction(durable=False) as session:
        imports.hold(session, experiment, token)
        yield session


class _Import:
    """The import of one record into the store."""

    def __init__(self, core: Core, checked: CheckedRecord, is_own: bool) -> None:
        self._core, self._head, self._is_own = core, checked.head, is_own
        self._program, self._trials = checked.program, checked.trials

    def take_in(self, source: BinaryIO) -> str:
        """Insert the rows in batches, so that other writers are not blocked. Return the handle.

        The experiment's own row comes last, which makes the other rows visible. If a row is refused, all are removed.
        """
        core, experiment = self._core, self._head.experiment
        token = new_id(core.clock)
        with core.store.transaction() as session:
            leftovers = imports.begin(session, experiment, token)
        part = partial(_part, core, experiment, token)
        if leftovers:
            clear(core, experiment, part)
        try:
            return self._insert(source, token)
        except BadInput:
            clear(core, experiment, part)
            with part() as session:
                imports.end(session, experiment)
            raise

    def _insert(self, source: BinaryIO, token: str) -> str:
        core, experiment = self._core, self._head.experiment
        own: list[archive.Row] = []
        source.seek(0)
        for batch in record.batches(source):
            if isinstance(batch[0], format.ExperimentItem):
                own = self._rows(batch)
                continue
            with _part(core, experiment, token) as session:
                self._add(session, archive.add, batch)
        with core.store.transaction() as session:
            imports.hold(session, experiment, token)
            handle = _free_handle(core, session, self._head.handle)
            archive.add(session, "experiments", [self._own(row, handle, session.now) for row in own])
            self._need_presentable(session)
            imports.end(session, experiment)
        return handle

    def replace(self, stored: archive.StoredExperiment, source: BinaryIO) -> None:
        """Write the rows that differ from those of the store in one transaction; an interruption changes nothing.

        The differences are computed before the transaction, while others can write.
        """
        core, experiment = self._core, self._head.experiment
        with tempfile.TemporaryFile(prefix="orchestune-archive-") as news:
            with core.store.reading() as session:
                record.write(news, self._head, self._news(session, source))
            with core.store.transaction() as session:
                row = experiments.lock(session, experiment)
                if (row.event_seq, row.visibility) != (stored.event_seq, stored.visibility):
                    raise StoreUnavailable(f"{stored.handle} was changed during the import", "retry")
                archive.cut(session, experiment, self._head.events)
                news.seek(0)
                for batch in record.batches(news):
                    if isinstance(batch[0], format.ExperimentItem):
                        own = [self._own(each, stored.handle, session.now) for each in self._rows(batch)]
                        archive.put(session, "experiments", own)
                    else:
                        self._add(session, archive.put, batch)
                self._need_presentable(session)

    def _add(
        self,
        session: Session,
        write: Callable[[Session, str, list[archive.Row]], None],
        batch: Sequence[Item],
    ) -> None:
        """Write items of this experiment. Raises BadInput if one refers to an item outside the record."""
        table, received = TABLE_OF[type(batch[0])], self._rows(batch)
        if table == "workers":  # a worker reused by another experiment may have been imported with that one already
            reused = archive.workers_elsewhere(session, self._head.experiment, received)
            received = [row for row in received if row["id"] not in reused]
        dangling_value = archive.dangling(session, self._head.experiment, table, received)
        if dangling_value is not None:
            name, value = dangling_value
            text = f"is {value!r:.60}, which the record does not contain"
            raise BadInput.one(text, key=f"{self._head.handle}: {table}.{name}")
        write(session, table, received)

    def _rows(self, batch: Sequence[Item]) -> list[archive.Row]:
        """Return the rows to store for items of one type, with no pending or running state."""
        return [_received(item, row_of(item, self._head.experiment)) for item in batch]

    def _own(self, row: archive.Row, handle: str, now: float) -> archive.Row:
        """Return the experiment's row to store: over, stopped, and listed even if it was deleted elsewhere."""
        counters = finished(self._trials)
        ended = row["ended_by"] is not None
        over = counters["completed"] + counters["failed"] + counters["pruned"]
        failed = row["ended_by"] in stopping.FAILURE_CODES or (over > 0 and counters["failed"] == over)
        state = experiment_state(
            Desired.STOPPED, live=False, ended=ended, failed=failed, started=row["started_at"] is not None
        )
        owner = row["owner"] if self._is_own else row["owner"].removesuffix(IMPORTED) + IMPORTED
        return (
            row
            | counters
            | {
                "handle": handle,
                "owner": owner,
                "desired": Desired.STOPPED,
                "state": state,
                "waiting": None,
                "finished_at": now if row["finished_at"] is None else row["finished_at"],
                "idempotency_key": None,
                "imported_at": now,
                "visibility": Visibility.LISTED,
                "program": self._program,
            }
        )

    def _news(self, session: Session, source: BinaryIO) -> Iterator[Item]:
        """Yield the items that differ from the stored rows. Points are skipped if their attempt is unchanged."""
        attempts: set[str] = set()
        source.seek(0)
        for batch in record.batches(source):
            rows = self._rows(batch)
            stored_rows = archive.as_here(session, TABLE_OF[type(batch[0])], rows)
            for item, row, stored in zip(batch, rows, stored_rows, strict=True):
                match item:
                    case format.PointItem():
                        is_news = item.attempt in attempts
                    case format.LogItem():  # the bytes of a stored segment never change, only their location
                        is_news = stored is None
                    case format.ExperimentItem():
                        is_news = True
                    case _:
                        is_news = stored is None or any(row[name] != stored[name] for name in row)
                if is_news and isinstance(item, format.AttemptItem):
                    attempts.add(item.id)
                if is_news:
                    yield item

    def _need_presentable(self, session: Session) -> None:
        """Refuse an experiment whose status cannot be computed: it would break every list that contains it."""
        row = experiments.get(session, self._head.experiment)
        if row.best_trial is not None and trials.get(session, row.id, row.best_trial) is None:
            raise BadInput.one(f"its best trial is {row.best_trial}, which does not exist", key=self._head.handle)
        try:
            read_experiments.status_of(self._core, session, row, details=True)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            text = f"its rows contradict each other ({type(error).__name__}: {error!s:.100})"
            raise BadInput.one(text, key=self._head.handle) from error


def sweep(core: Core, experiment: str) -> None:
    """Remove the rows of an interrupted import. Does nothing while an import of the experiment is running."""
    if not core.store.acquire_lock(_name(experiment)):
        return
    try:
        token = new_id(core.clock)
        with core.store.transaction() as session:
            leftovers = imports.take_over(session, experiment, token)
        if leftovers:
            clear(core, experiment, partial(_part, core, experiment, token))
            with _part(core, experiment, token) as session:
                imports.end(session, experiment)
    finally:
        core.store.release_lock(_name(experiment))


def _continues(session: Session, stored: archive.StoredExperiment, head: Head, source: BinaryIO) -> bool:
    """Return True if the record continues the stored experiment, False if it is the same or an earlier state of it.

    Raises Conflict if the two have diverged, or if the stored one is the earlier state but is not over.
    """
    if stored.visibility == Visibility.PURGING:
        raise Conflict(f"{stored.handle} is being purged on this server", "retry once it is purged")
    source.seek(0)
    stored_last = logs.last_event(session, head.experiment, record.FILES_DROPPED)
    newest = record.last_event(source)
    sent_last = newest.number if newest is not None else 0
    last = min(stored_last, sent_last)
    source.seek(0)
    sent = record.event(source, last)
    stored_event = [(row.seq, row.at, row.kind) for row in logs.events_after(session, head.experiment, last - 1, 1)]
    same = sent is not None and stored_event == [(sent.number, sent.at, sent.kind)]
    if not same or (stored_last < sent_last and not ExperimentState(stored.state).over):
        raise Conflict(
            f"{stored.handle} ({stored.state} on this server) and the record have diverged",
            f"nothing was changed; to import the record, first run: orchestune delete {stored.handle} --purge",
        )
    return stored_last < sent_last


def _received(item: Item, row: archive.Row) -> archive.Row:
    """Return an item's row to store, with ended workers and no open folds."""
    row = _without_nul(row)
    if isinstance(item, format.WorkerItem):
        last = item.ended_at or item.seen_at or item.created_at
        return row | {"state": WorkerState.ENDED, "ended_at": last}
    if isinstance(item, format.FoldItem) and item.state in (FoldState.PENDING, FoldState.ACTIVE):
        return row | {"state": after(FOLD, item.state, Cause.CANCEL)}
    return row


def _without_nul(row: archive.Row) -> archive.Row:
    """Return the row without NUL characters, which SQLite stores and PostgreSQL refuses."""
    return {name: cell.replace("\0", "\ufffd") if isinstance(cell, str) else cell for name, cell in row.items()}


def _take_blobs(core: Core, head: Head) -> None:
    with core.store.transaction() as session:
        for digest in head.files:
            blobs.hold(session, digest)
    sizes = blob_sizes(core, head.files)
    missing = [digest for digest, size in head.files.items() if sizes[digest] != size]
    if missing:
        raise NotFound(f"{len(missing)} blobs of {head.handle} are missing", "upload them before the record")
    with core.store.transaction() as session:
        for digest, size in head.files.items():
            blobs.put(session, digest, "bundle", size)


def _free_handle(core: Core, session: Session, preferred: str) -> str:
    """Return the handle, or one with another random suffix if it is taken here."""
    handle = preferred
    while archive.handle_is_taken(session, handle):
        handle = ids.handle(preferred.rpartition("-")[0] or preferred, core.clock.entropy(4))
    return handle
