"""Rows of experiments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import and_, case, func, insert, or_, select, update

from orchestune.domain.experiment import Program, Specification
from orchestune.domain.peaks import Peaks
from orchestune.domain.states import Desired, ExperimentState, Reason, Visibility
from orchestune.errors import Ambiguous, NotFound, Purged
from orchestune.store.removal import purged_at
from orchestune.store.rows import Query, StateCount
from orchestune.store.session import Session
from orchestune.store.tables import artifacts, experiments, revisions


class Launch(TypedDict, total=False):
    """What the caller's shell was like: the keys that the server reads. Clients send more (see protocol.md)."""

    env: dict[str, str]
    root: str | None
    links: list[str]


@dataclass
class ExperimentRow:
    """One row; fields that end in `_json` hold the text of the column without that suffix.

    Mutable: the holder of the lock changes it and saves it once.
    """

    id: str
    handle: str
    name: str
    owner: str
    cluster: str
    folder: str
    specification_json: str
    launch_json: str
    bundle: str | None
    rerun_of: str | None
    revision: int
    budget: int
    parallelism: int
    priority: int
    labels_json: str
    desired: Desired
    state: ExperimentState
    reason_json: str | None
    waiting_json: str | None
    ended_by: str | None
    visibility: Visibility
    program: Program
    waived_guards_json: str
    is_exhausted: bool
    """its space has no configuration left that was not tried"""
    awaits_suggestion: bool
    """its engine has not found the next configuration yet"""
    last_trial: int
    queued: int
    running: int
    completed: int
    failed: int
    pruned: int
    cancelled: int
    live_attempts: int
    pending_folds: int
    event_seq: int
    log_seq: int
    history_seq: int
    worker_seq: int
    best_trial: int | None
    best_value: float | None
    trials_since_best: int
    best_by_fold: str | None
    identical_digest: str | None
    identical_count: int
    memory_samples: int
    peak_memory: int
    memory_surprises: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    files_deleted_at: float | None
    """when its logs and files went; None where they are there"""
    imported_at: float | None
    """when its record came from elsewhere; None where it began here"""
    principal: str | None
    """the authenticated caller that created it; None if its owner is a mere claim"""

    def __post_init__(self) -> None:
        self.desired = Desired(self.desired)
        self.state = ExperimentState(self.state)
        self.visibility = Visibility(self.visibility)
        self.program = Program(self.program)
        self.is_exhausted, self.awaits_suggestion = bool(self.is_exhausted), bool(self.awaits_suggestion)

    @property
    def kept_as(self) -> tuple[str, float | None]:
        """Under what anything made of it is kept in memory: what is imported in the place of one that was removed has
        its id, and another history.
        """
        return self.id, self.imported_at

    @property
    def waived_guards(self) -> frozenset[str]:
        """Codes of the guards that were passed, or waived when it was resumed."""
        return frozenset(json.loads(self.waived_guards_json))

    def waive_guard(self, code: str) -> None:
        """Let a guard pause it no more."""
        self.waived_guards_json = json.dumps(sorted({*self.waived_guards, code}))

    @property
    def peaks(self) -> Peaks:
        """The memory that its attempts took."""
        return Peaks(self.memory_samples, self.peak_memory, self.memory_surprises)

    @peaks.setter
    def peaks(self, peaks: Peaks) -> None:
        self.memory_samples, self.peak_memory, self.memory_surprises = peaks.count, peaks.highest, peaks.surprises

    @property
    def finished(self) -> int:
        """Trials that count for the budget."""
        return self.completed + self.failed + self.pruned

    @property
    def open(self) -> int:
        """Trials that were handed out or wait, and have no outcome yet."""
        return self.queued + self.running

    @property
    def unqueued(self) -> int:
        """Folds that wait although their trial runs: the other folds of it. They go before those of new trials."""
        return self.pending_folds - self.queued * self.specification.folds.count

    @property
    def ending(self) -> bool:
        """It is over, or comes to its end, by a rule or since somebody stopped it."""
        return self.ended_by is not None or self.desired is Desired.STOPPED

    @property
    def goes_on(self) -> bool:
        """Trials may begin: nobody paused or stopped it, and no rule has ended it."""
        return self.desired is Desired.RUNNING and self.ended_by is None

    @property
    def leasable(self) -> int:
        """How many more attempts may run now, as far as the counters tell: some of them may have to wait a while."""
        return max(min(self.pending_folds, self.parallelism - self.live_attempts), 0) if self.goes_on else 0

    @property
    def unsuggested(self) -> int:
        """Trials of the budget that have no configuration yet."""
        return max(self.budget - self.finished - self.open, 0)

    @property
    def specification(self) -> Specification:
        """The present revision's; budget, parallelism, priority and labels may have changed since: see the columns."""
        return read_specification(self.specification_json)

    @property
    def launch(self) -> Launch:
        """What the caller's shell was like (see protocol.md)."""
        launch: Launch = json.loads(self.launch_json)
        return launch

    @property
    def reason(self) -> Reason | None:
        """Why it is paused or has ended."""
        return Reason.from_json(json.loads(self.reason_json)) if self.reason_json else None

    @reason.setter
    def reason(self, reason: Reason | None) -> None:
        self.reason_json = json.dumps(reason.to_json()) if reason else None

    @property
    def waiting(self) -> Reason | None:
        """Why nothing moves although it should."""
        return Reason.from_json(json.loads(self.waiting_json)) if self.waiting_json else None

    @waiting.setter
    def waiting(self, reason: Reason | None) -> None:
        self.waiting_json = json.dumps(reason.to_json()) if reason else None


def read_specification(text: str) -> Specification:
    """Read once: controllers look at each experiment that goes on again and again. A long text takes several times its
    length in memory, and may have megabytes, so that fewer of those stay.
    """
    return (_read_long if len(text) > _LONG else _read)(text)


def _read_anew(text: str) -> Specification:
    return Specification.from_json(json.loads(text))


_LONG = 16 * 1024
"""characters"""
_read, _read_long = lru_cache(maxsize=4096)(_read_anew), lru_cache(maxsize=64)(_read_anew)


_COLUMN_OF = {field.name: field.name.removesuffix("_json") for field in fields(ExperimentRow)}
"""field → column"""
_COLUMNS = [experiments.c[column].label(field) for field, column in _COLUMN_OF.items()]
_SELECTED = ", ".join(f"{column} AS {field}" for field, column in _COLUMN_OF.items())
_UNSAVED = (
    *("handle", "name", "owner", "cluster", "folder", "specification", "launch", "bundle", "rerun_of", "revision"),
    *("budget", "parallelism", "priority", "labels", "visibility", "program", "created_at", "files_deleted_at"),
    *("imported_at", "principal"),
)
"""columns that `save` leaves alone: they never change, or by a statement of their own"""
_SAVED = {field: column for field, column in _COLUMN_OF.items() if column not in _UNSAVED}
_ASSIGNED = ", ".join(f"{column} = :{field}" for field, column in _SAVED.items() if field != "id")

_IS_LISTED = experiments.c.visibility == Visibility.LISTED
_IS_KEPT = experiments.c.visibility != Visibility.PURGING

_SELECT = f"SELECT {_SELECTED} FROM experiments WHERE id = :id"
SELECT = Query(ExperimentRow, _SELECT)
LOCK = Query(ExperimentRow, f"{_SELECT} FOR UPDATE")
UNFINISHED = Query(
    ExperimentRow,
    f"""
SELECT {_SELECTED} FROM experiments WHERE state IN ('pending', 'running', 'paused', 'stopping')
ORDER BY priority DESC, created_at
""",
)
SAVE = f"UPDATE experiments SET {_ASSIGNED} WHERE id = :id"


def lock(session: Session, experiment: str) -> ExperimentRow:
    """Return the row, locked until the transaction ends (SQLite's transaction is the lock). NotFound if absent."""
    row = session.row(LOCK if session.postgres else SELECT, {"id": experiment})
    if row is None:
        raise NotFound(f"there is no experiment {experiment}")
    return row


def save(session: Session, row: ExperimentRow) -> None:
    """Write every counter and state of a locked row."""
    session.run(SAVE, {field: getattr(row, field) for field in _SAVED})


class NewExperimentRow(Struct, frozen=True, gc=False):
    """The columns of a new experiment that have no default. JSON: `specification`, `launch`, `labels`."""

    id: str
    name: str
    owner: str
    principal: str | None
    cluster: str
    folder: str
    specification: str
    launch: str
    program: Program
    bundle: str | None
    rerun_of: str | None
    idempotency_key: str | None
    budget: int
    parallelism: int
    priority: int
    labels: str
    desired: Desired
    state: ExperimentState


def add(session: Session, new: NewExperimentRow, handle: str, actor: str) -> ExperimentRow:
    """Insert an experiment with its first revision."""
    session.change(insert(experiments).values(handle=handle, created_at=session.now, **asdict(new)))
    add_revision(session, new.id, 1, new.specification, actor)
    return lock(session, new.id)


def add_revision(session: Session, experiment: str, revision: int, specification: str, actor: str) -> None:
    """Keep what the experiment was from now on (`specification`: JSON)."""
    session.change(
        insert(revisions).values(
            experiment=experiment, revision=revision, specification=specification, actor=actor, at=session.now
        )
    )


class Revision(Struct, frozen=True, gc=False):
    """What an experiment was at a revision, as JSON. `launch`: None if it is the experiment's."""

    specification: str
    launch: str | None


def at_revision(session: Session, row: ExperimentRow, revision: int) -> tuple[Specification, Launch]:
    """Specification and launch as they were at `revision`."""
    query = select(revisions.c.specification, revisions.c.launch).where(
        revisions.c.experiment == row.id, revisions.c.revision == revision
    )
    stored = session.first(query, Revision)
    if stored is None:
        raise NotFound(f"there is no revision {revision} of {row.handle}", f"it has {row.revision} so far")
    return read_specification(stored.specification), json.loads(stored.launch or row.launch_json)


def keep_launch(session: Session, row: ExperimentRow) -> None:
    """Revisions so far keep the launch that they have: the experiment's is about to change."""
    older = (revisions.c.experiment == row.id) & revisions.c.launch.is_(None)
    session.change(update(revisions).where(older).values(launch=row.launch_json))


def change(session: Session, experiment: str, **values: object) -> None:
    """Change the columns that are not counters (budget, labels, …)."""
    session.change(update(experiments).where(experiments.c.id == experiment).values(**values))


def hide(session: Session, experiment: str, *, purge: bool) -> None:
    """Hide it from lists; `purge` also has it removed, which hiding it again does not undo."""
    shown = Visibility.PURGING if purge else Visibility.HIDDEN
    own = (experiments.c.id == experiment) & _IS_KEPT
    session.change(update(experiments).where(own).values(visibility=shown))


def show(session: Session, experiment: str) -> bool:
    """List it again. Returns False if it is about to be removed."""
    own = (experiments.c.id == experiment) & _IS_KEPT
    return session.change(update(experiments).where(own).values(visibility=Visibility.LISTED)) == 1


_LONGEST = 36
"""characters of an id; handles have less. Databases refuse to look for very long beginnings of names"""


def find(session: Session, reference: str) -> ExperimentRow:
    """By id, handle or unambiguous prefix of either; a prefix names a hidden one only where no other one has it.

    All of a handle before its four characters goes before a mere beginning: `sgd` is sgd-7f3a beside sgd-large-1b2c.

    NotFound, Purged, Ambiguous.
    """
    name = reference.lower()
    exact = or_(experiments.c.id == name, experiments.c.handle == name)
    rows = session.select(select(*_COLUMNS).where(exact), ExperimentRow)
    if not rows and 0 < len(name) <= _LONGEST:
        pattern = name.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        prefix = or_(experiments.c.handle.like(pattern, escape="\\"), experiments.c.id.like(pattern, escape="\\"))
        query = select(*_COLUMNS).where(prefix).order_by(experiments.c.created_at.desc())
        rows = session.select(query.where(_IS_LISTED), ExperimentRow)
        rows = rows or session.select(query.where(experiments.c.visibility != Visibility.LISTED), ExperimentRow)
    if not rows:
        if purged_at(session, name) is not None:
            raise Purged(f"{name} was removed for good", "`orchestune status` lists what is there")
        trial = f"; trial {name} of the newest one of a folder is /{name}" if name.isdecimal() else ""
        shown = reference if len(reference) <= 80 else f"{reference[:80]}…"
        raise NotFound(f"there is no experiment '{shown}'", f"`orchestune status` lists them{trial}")
    if len(rows) > 1:
        rows = [row for row in rows if row.handle.rpartition("-")[0] == name] or rows
    if len(rows) > 1:
        raise Ambiguous(f"'{reference}' could be {_listed(rows)}", "write more of the handle")
    return rows[0]


_LISTED = 5


def _listed(rows: Sequence[ExperimentRow]) -> str:
    """`sgd-7f3a (running) or sgd-1b2c (completed)`, the newest first."""
    names = [f"{row.handle} ({row.state})" for row in rows[:_LISTED]]
    if len(rows) > _LISTED:
        names.append(f"{len(rows) - _LISTED} more")
    return f"{', '.join(names[:-1])} or {names[-1]}"


def made_by(session: Session, request_key: str) -> str | None:
    """The id of the experiment which the request with this Idempotency-Key made."""
    return session.first(select(experiments.c.id).where(experiments.c.idempotency_key == request_key), str)


def get(session: Session, experiment: str) -> ExperimentRow:
    """By id, without a lock."""
    row = session.row(SELECT, {"id": experiment})
    if row is None:
        raise NotFound(f"there is no experiment {experiment}")
    return row


def page(
    session: Session, *, folder: str | None, limit: int, before: float | None, hidden: bool = False
) -> list[ExperimentRow]:
    """Newest first, of one folder or of all; `before` is the creation time of the last one seen. With `hidden` those
    that were deleted as well, but for what is being removed for good.
    """
    query = select(*_COLUMNS).where(_IS_KEPT if hidden else _IS_LISTED)
    if folder is not None:
        query = query.where(experiments.c.folder == folder)
    if before is not None:
        query = query.where(experiments.c.created_at < before)
    query = query.order_by(experiments.c.created_at.desc()).limit(limit)
    return session.select(query, ExperimentRow)


class Outline(Struct, frozen=True, gc=False):
    """What a list is searched and sorted by."""

    id: str
    handle: str
    name: str
    owner: str
    cluster: str
    labels: str
    state: str
    budget: int
    finished: int
    running: int
    failed: int
    created_at: float


OUTLINES = Query(
    Outline,
    """
SELECT id, handle, name, owner, cluster, labels, state, budget, completed + failed + pruned AS finished, running,
failed, created_at FROM experiments WHERE (visibility = 'listed' OR CAST(:hidden AS INTEGER) = 1)
AND (CAST(:folder AS TEXT) IS NULL OR folder = :folder) ORDER BY created_at DESC, id DESC
""",
)


def outlines(session: Session, *, folder: str | None = None, hidden: bool = False) -> list[Outline]:
    """All of them, of one folder or of any, the newest first."""
    return session.rows(OUTLINES, {"folder": folder, "hidden": int(hidden)})


def of_ids(session: Session, ids: Sequence[str]) -> list[ExperimentRow]:
    """Those of them that are there, in this order."""
    rows = {row.id: row for row in session.among(select(*_COLUMNS), experiments.c.id, ids, ExperimentRow)}
    return [rows[each] for each in ids if each in rows]


def unfinished(session: Session) -> list[ExperimentRow]:
    """Every experiment that is not over, in the order in which they get resources: priority, then age."""
    return session.rows(UNFINISHED, {})


class WithFiles(Struct, frozen=True, gc=False):
    """An experiment that has logs or files, and the time from which they are kept for as long as the server says."""

    since: float
    id: str


FIRST = WithFiles(0.0, "")
"""before every experiment"""


def with_old_files(session: Session, before: float, limit: int, after: WithFiles) -> list[WithFiles]:
    """Experiments that ended, or were imported after that, before a time, and have had logs or files since theirs were
    dropped, if ever; the next ones `after` another one.
    """
    dropped, ended, imported = (experiments.c[name] for name in ("files_deleted_at", "finished_at", "imported_at"))
    since = case((imported > ended, imported), else_=ended)
    query = select(since.label("since"), experiments.c.id).where(since < before, dropped.is_(None) | (dropped < ended))
    query = query.where(or_(since > after.since, and_(since == after.since, experiments.c.id > after.id)))
    return session.select(query.order_by(since, experiments.c.id).limit(limit), WithFiles)


def to_remove(session: Session) -> list[str]:
    """Ids of experiments that are over and whose removal was asked for."""
    over = [state for state in ExperimentState if state.over]
    return session.select(
        select(experiments.c.id).where(experiments.c.visibility == Visibility.PURGING, experiments.c.state.in_(over)),
        str,
    )


def labelled(session: Session, label: str) -> list[ExperimentRow]:
    """Experiments with that label that are not about to be removed."""
    query = select(*_COLUMNS).where(_IS_KEPT, experiments.c.labels.contains(f'"{label}"', autoescape=True))
    return session.select(query, ExperimentRow)


class WithArtifacts(Struct, frozen=True, gc=False):
    """An experiment that kept files."""

    id: str
    imported_at: float | None
    event_seq: int


def with_artifacts(session: Session) -> dict[tuple[str, float | None], int]:
    """Experiments that kept files, as in `kept_as`, each with the number of its last event."""
    query = select(experiments.c.id, experiments.c.imported_at, experiments.c.event_seq)
    kept = query.where(experiments.c.id.in_(select(artifacts.c.experiment).distinct()))
    return {(row.id, row.imported_at): row.event_seq for row in session.select(kept, WithArtifacts)}


def count_by_state(session: Session) -> dict[str, int]:
    """How many experiments that were not deleted are in each state."""
    query = select(experiments.c.state, func.count().label("count")).where(_IS_LISTED)
    counts = session.select(query.group_by(experiments.c.state), StateCount)
    return {each.state: each.count for each in counts}


def sums(session: Session, counters: Sequence[str]) -> dict[str, int]:
    """These counters, each added up over all experiments."""
    totals = (func.coalesce(func.sum(experiments.c[name]), 0).label(name) for name in counters)
    return {name: int(total) for name, total in session.connection.execute(select(*totals)).mappings().one().items()}
