"""Rows of experiments."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import func, insert, literal_column, or_, select, update

from orchestune.domain.lifecycle.states import Desired, ExperimentState, Reason, Visibility
from orchestune.domain.resources.peaks import MemoryPeaks
from orchestune.domain.specification.experiment import ProgramKind, Specification
from orchestune.errors import Ambiguous, NotFound, Purged
from orchestune.store.removal import purged_at
from orchestune.store.rows import Query
from orchestune.store.session import Session
from orchestune.store.specifications import read_specification
from orchestune.store.tables import experiments, revisions

log = logging.getLogger(__name__)


class Launch(TypedDict, total=False):
    """The launch document: what an experiment takes from the shell that starts it.

    These are the keys that the server reads; clients send more (see protocol.md).
    """

    env: dict[str, str]
    root: str | None
    links: list[str]


# By value: calling the enumeration costs ten times as much, and a row is built for every call of a worker.
_DESIRED = {each.value: each for each in Desired}
_STATES = {each.value: each for each in ExperimentState}
_VISIBILITIES = {each.value: each for each in Visibility}
_PROGRAMS = {each.value: each for each in ProgramKind}


class _WithSpecification:
    """Holds the parsed specification of a row outside of its fields, which are compared and saved."""

    __slots__ = ("_specification",)
    _specification: Specification


@dataclass
class ExperimentRow(_WithSpecification):
    """A row of `experiments`; fields that end in `_json` hold the text of the column without that suffix.

    Mutable: the holder of the row lock changes it and saves it once.
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
    program: ProgramKind
    waived_guards_json: str
    is_exhausted: bool
    """True if every configuration of the space has been tried"""
    awaits_suggestion: bool
    """True while the engine computes the next configuration"""
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
    idle_seconds: float
    """seconds between an end and the `extend` or `resume` that revoked it, over all of them"""
    files_deleted_at: float | None
    """when its logs and files were deleted; None if they were not"""
    imported_at: float | None
    """when its record was imported; None if it was created on this server"""
    principal: str | None
    """the authenticated caller that created it; None if its owner is unverified"""

    def __post_init__(self) -> None:
        self.desired, self.state = _DESIRED[self.desired], _STATES[self.state]
        self.visibility, self.program = _VISIBILITIES[self.visibility], _PROGRAMS[self.program]
        self.is_exhausted, self.awaits_suggestion = bool(self.is_exhausted), bool(self.awaits_suggestion)

    @property
    def cache_key(self) -> tuple[str, float | None]:
        """Key for in-memory caches.

        The id alone does not suffice: an import in place of a removed experiment has the same id and another history.
        """
        return self.id, self.imported_at

    @property
    def waived_guards(self) -> frozenset[str]:
        """Codes of the guards that were passed, or waived by a resume."""
        return frozenset(json.loads(self.waived_guards_json))

    def waive_guard(self, code: str) -> None:
        """Keep a guard from pausing the experiment again."""
        self.waived_guards_json = json.dumps(sorted({*self.waived_guards, code}))

    @property
    def peaks(self) -> MemoryPeaks:
        """Statistics of the peak memory of its attempts."""
        return MemoryPeaks(self.memory_samples, self.peak_memory, self.memory_surprises)

    @peaks.setter
    def peaks(self, peaks: MemoryPeaks) -> None:
        self.memory_samples, self.peak_memory, self.memory_surprises = peaks.count, peaks.highest, peaks.surprises

    @property
    def finished(self) -> int:
        """Number of trials that count towards the budget."""
        return self.completed + self.failed + self.pruned

    @property
    def open(self) -> int:
        """Number of queued and running trials."""
        return self.queued + self.running

    @property
    def unqueued(self) -> int:
        """Number of pending folds of running trials. They are leased before the folds of queued trials."""
        return self.pending_folds - self.queued * self.specification.folds.count

    def seconds_active(self, now: float) -> float:
        """Return the seconds from its start to `now` or its end, without those for which it was finished."""
        if self.started_at is None:
            return 0.0
        return (now if self.finished_at is None else self.finished_at) - self.started_at - self.idle_seconds

    @property
    def ending(self) -> bool:
        """True if it is finished or stopping, because of a rule or because a user stopped it."""
        return self.ended_by is not None or self.desired is Desired.STOPPED

    @property
    def can_start_trials(self) -> bool:
        """True if trials may start: it is neither paused nor stopped, and no rule has ended it."""
        return self.desired is Desired.RUNNING and self.ended_by is None

    @property
    def leasable(self) -> int:
        """Upper bound on the attempts that can be leased now, from the counters: some folds may still be in backoff."""
        return max(min(self.pending_folds, self.parallelism - self.live_attempts), 0) if self.can_start_trials else 0

    @property
    def unsuggested(self) -> int:
        """Number of trials of the budget that have no configuration yet."""
        return max(self.budget - self.finished - self.open, 0)

    @property
    def specification(self) -> Specification:
        """Specification of the current revision. Columns have the current budget, parallelism, priority and labels."""
        try:
            return self._specification
        except AttributeError:
            self._specification = read_specification(self.specification_json)
            return self._specification

    @property
    def launch(self) -> Launch:
        """The parsed launch document."""
        launch: Launch = json.loads(self.launch_json)
        return launch

    @property
    def reason(self) -> Reason | None:
        """Reason why it is paused or has ended."""
        return Reason.from_json(json.loads(self.reason_json)) if self.reason_json else None

    @reason.setter
    def reason(self, reason: Reason | None) -> None:
        self.reason_json = json.dumps(reason.to_json()) if reason else None

    @property
    def waiting(self) -> Reason | None:
        """Reason why an experiment that should run makes no progress."""
        return Reason.from_json(json.loads(self.waiting_json)) if self.waiting_json else None

    @waiting.setter
    def waiting(self, reason: Reason | None) -> None:
        self.waiting_json = json.dumps(reason.to_json()) if reason else None


_COLUMN_OF = {field.name: field.name.removesuffix("_json") for field in fields(ExperimentRow)}
"""field → column"""
COLUMNS = [experiments.c[column].label(field) for field, column in _COLUMN_OF.items()]
SELECTED = ", ".join(f"{column} AS {field}" for field, column in _COLUMN_OF.items())
_UNSAVED = (
    *("handle", "name", "owner", "cluster", "folder", "specification", "launch", "bundle", "rerun_of", "revision"),
    *("budget", "parallelism", "priority", "labels", "visibility", "program", "created_at", "files_deleted_at"),
    *("imported_at", "principal"),
)
"""columns that `save` does not write: they are immutable or have their own statements"""
_SAVED = {field: column for field, column in _COLUMN_OF.items() if column not in _UNSAVED}
_ASSIGNED = ", ".join(f"{column} = :{field}" for field, column in _SAVED.items() if field != "id")

IS_LISTED = experiments.c.visibility == Visibility.LISTED
IS_KEPT = experiments.c.visibility != Visibility.PURGING

_SELECT = f"SELECT {SELECTED} FROM experiments WHERE id = :id"
SELECT = Query(ExperimentRow, _SELECT)
LOCK = Query(ExperimentRow, f"{_SELECT} FOR UPDATE")
SAVE = f"UPDATE experiments SET {_ASSIGNED} WHERE id = :id"


def lock(session: Session, experiment: str) -> ExperimentRow:
    """Return the row, locked until the transaction ends (on SQLite by the transaction). Raises NotFound if absent."""
    row = session.row(LOCK if session.postgres else SELECT, {"id": experiment})
    if row is None:
        raise NotFound(f"there is no experiment {experiment}")
    return row


def save(session: Session, row: ExperimentRow) -> None:
    """Write every counter and state of a locked row."""
    session.run(SAVE, {field: getattr(row, field) for field in _SAVED})


class NewExperimentRow(Struct, frozen=True, gc=False):
    """The database columns of a new, validated experiment that have no default.

    JSON: `specification`, `launch`, `labels`.
    """

    id: str
    name: str
    owner: str
    principal: str | None
    secret_bytes: int
    cluster: str
    folder: str
    specification: str
    launch: str
    program: ProgramKind
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
    """Insert an experiment with its first revision, and return its locked row."""
    session.change(insert(experiments).values(handle=handle, created_at=session.now, **asdict(new)))
    add_revision(session, new.id, 1, new.specification, actor)
    return lock(session, new.id)


def secret_bytes(session: Session, principal: str | None) -> int:
    """Return the bytes of secrets of all experiments of a principal; None: of those whose owner is unverified."""
    own = experiments.c.principal.is_(None) if principal is None else experiments.c.principal == principal
    some = experiments.c.secret_bytes > literal_column("0")  # with a parameter, the partial index is not used
    return int(session.first(select(func.sum(experiments.c.secret_bytes)).where(own, some), int) or 0)


def add_revision(session: Session, experiment: str, revision: int, specification: str, actor: str) -> None:
    """Insert a revision of an experiment (`specification`: JSON)."""
    session.change(
        insert(revisions).values(
            experiment=experiment, revision=revision, specification=specification, actor=actor, at=session.now
        )
    )


class RevisionRow(Struct, frozen=True, gc=False):
    """Specification and launch of a revision, as JSON. `launch`: None if it equals the experiment's."""

    specification: str
    launch: str | None


def at_revision(session: Session, row: ExperimentRow, revision: int) -> tuple[Specification, Launch]:
    """Return specification and launch of `revision`. Raises NotFound if it does not exist."""
    query = select(revisions.c.specification, revisions.c.launch).where(
        revisions.c.experiment == row.id, revisions.c.revision == revision
    )
    stored = session.first(query, RevisionRow)
    if stored is None:
        raise NotFound(f"there is no revision {revision} of {row.handle}", f"it has {row.revision} so far")
    return read_specification(stored.specification), json.loads(stored.launch or row.launch_json)


def keep_launch(session: Session, row: ExperimentRow) -> None:
    """Copy the launch into all revisions that share it, before the experiment's is changed."""
    older = (revisions.c.experiment == row.id) & revisions.c.launch.is_(None)
    session.change(update(revisions).where(older).values(launch=row.launch_json))


def change(session: Session, experiment: str, **values: object) -> None:
    """Update columns that are not counters (budget, labels, …)."""
    session.change(update(experiments).where(experiments.c.id == experiment).values(**values))


def hide(session: Session, experiment: str, *, purge: bool) -> None:
    """Hide an experiment from lists. `purge` also schedules its removal, which a later `hide` does not undo."""
    visibility = Visibility.PURGING if purge else Visibility.HIDDEN
    own = (experiments.c.id == experiment) & IS_KEPT
    session.change(update(experiments).where(own).values(visibility=visibility))


def show(session: Session, experiment: str) -> bool:
    """List an experiment again. Return False if it is being purged."""
    own = (experiments.c.id == experiment) & IS_KEPT
    return session.change(update(experiments).where(own).values(visibility=Visibility.LISTED)) == 1


_MAX_REFERENCE_CHARS = 36
"""length of an id; handles are shorter. Databases reject very long LIKE patterns"""


def find(session: Session, reference: str) -> ExperimentRow:
    """Return an experiment by id, handle or unambiguous prefix of either.

    A prefix matches hidden experiments only if no listed one matches. A handle without its four random characters has
    precedence over shorter prefixes: `sgd` matches sgd-7f3a although sgd-large-1b2c exists.

    Raises NotFound, Purged or Ambiguous.
    """
    name = reference.lower()
    row = session.first(
        select(*COLUMNS).where(or_(experiments.c.id == name, experiments.c.handle == name)), ExperimentRow
    )
    if row is not None:
        return row
    candidates, count = _by_prefix(session, name) if 0 < len(name) <= _MAX_REFERENCE_CHARS else ([], 0)
    if not candidates:
        if purged_at(session, name) is not None:
            raise Purged(f"{name} was removed for good", "`orchestune status` lists the experiments")
        trial = f"; trial {name} of the newest one of a folder is /{name}" if name.isdecimal() else ""
        excerpt = reference if len(reference) <= 80 else f"{reference[:80]}…"
        raise NotFound(f"there is no experiment '{excerpt}'", f"`orchestune status` lists them{trial}")
    if count > 1:
        raise Ambiguous(f"'{reference}' could be {_listed(candidates, count)}", "use more characters of the handle")
    return get(session, candidates[0].id)


class Candidate(Struct, frozen=True, gc=False):
    """An experiment whose handle or id begins with a given prefix."""

    id: str
    handle: str
    state: str


_MAX_CANDIDATES = 5


def _by_prefix(session: Session, name: str) -> tuple[list[Candidate], int]:
    """Return the newest candidates for a prefix, at most `_MAX_CANDIDATES`, and the number of all.

    Reads no other columns than shown: thousands of experiments may have a common prefix, each with a specification of
    hundreds of kilobytes.
    """
    literal = name.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    handle, identity = experiments.c.handle, experiments.c.id
    whole_slug = handle.like(f"{literal}-____", escape="\\")
    prefix = or_(handle.like(f"{literal}%", escape="\\"), identity.like(f"{literal}%", escape="\\"))
    for is_visible in (IS_LISTED, experiments.c.visibility != Visibility.LISTED):
        for is_candidate in (whole_slug, prefix):
            where = (is_visible, is_candidate)
            query = select(identity, handle, experiments.c.state).where(*where)
            candidates = session.select(
                query.order_by(experiments.c.created_at.desc()).limit(_MAX_CANDIDATES), Candidate
            )
            if candidates:
                return candidates, session.first(select(func.count()).where(*where), int) or 0
    return [], 0


def _listed(candidates: Sequence[Candidate], count: int) -> str:
    """Return an enumeration such as `sgd-7f3a (running) or sgd-1b2c (completed)`."""
    names = [f"{row.handle} ({row.state})" for row in candidates]
    if count > len(names):
        names.append(f"{count - len(names)} more")
    return f"{', '.join(names[:-1])} or {names[-1]}"


def id_by_idempotency_key(session: Session, idempotency_key: str) -> str | None:
    """Return the id of the experiment that the request with this Idempotency-Key created, None if absent."""
    return session.first(select(experiments.c.id).where(experiments.c.idempotency_key == idempotency_key), str)


def get(session: Session, experiment: str) -> ExperimentRow:
    """Return an experiment by id, without a lock. Raises NotFound if absent."""
    row = session.row(SELECT, {"id": experiment})
    if row is None:
        raise NotFound(f"there is no experiment {experiment}")
    return row
