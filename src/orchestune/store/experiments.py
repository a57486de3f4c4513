"""Rows of experiments."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from threading import Lock
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import and_, case, func, insert, literal_column, or_, select, update

from orchestune.domain.lifecycle.states import Desired, ExperimentState, Reason, Visibility
from orchestune.domain.resources.peaks import MemoryPeaks
from orchestune.domain.specification.experiment import ProgramKind, Specification
from orchestune.errors import Ambiguous, NotFound, OrchestuneError, Purged
from orchestune.store.removal import purged_at
from orchestune.store.rows import Query, StateCount
from orchestune.store.session import Session
from orchestune.store.tables import artifacts, experiments, revisions

log = logging.getLogger(__name__)


class Launch(TypedDict, total=False):
    """The environment of the client's shell: the keys that the server reads. Clients send more (see protocol.md)."""

    env: dict[str, str]
    root: str | None
    links: list[str]


@dataclass
class ExperimentRow:
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
    files_deleted_at: float | None
    """when its logs and files were deleted; None if they were not"""
    imported_at: float | None
    """when its record was imported; None if it was created on this server"""
    principal: str | None
    """the authenticated caller that created it; None if its owner is unverified"""

    def __post_init__(self) -> None:
        self.desired = Desired(self.desired)
        self.state = ExperimentState(self.state)
        self.visibility = Visibility(self.visibility)
        self.program = ProgramKind(self.program)
        self.is_exhausted, self.awaits_suggestion = bool(self.is_exhausted), bool(self.awaits_suggestion)

    @property
    def cache_key(self) -> tuple[str, float | None]:
        """Key for in-memory caches. The id alone does not suffice: an import in place of a removed experiment has the
        same id and another history.
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
        return read_specification(self.specification_json)

    @property
    def launch(self) -> Launch:
        """The parsed environment of the client's shell (see protocol.md)."""
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


_MOST_CHARACTERS = 32 * 2**20
"""characters of the cached texts; parsed, they take several times as much memory"""


class _ParsedSpecifications:
    """Thread-safe LRU cache, bounded by the length of the texts: some have 1,000 times the length of others.

    Controllers read every unfinished experiment at each tick. If their texts were more than the bound, each tick would
    parse all of them, so the bound is well above those of hundreds of usual experiments.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._parsed: OrderedDict[str, Specification] = OrderedDict()
        self._lock = Lock()

    def get(self, text: str) -> Specification:
        """Return the parsed text. Two threads that miss at the same time both parse it."""
        with self._lock:
            if text in self._parsed:
                self._parsed.move_to_end(text)
                return self._parsed[text]
        specification = Specification.from_json(json.loads(text), is_validated=True)
        with self._lock:
            if text not in self._parsed:
                self._size += len(text)
            self._parsed[text] = specification
            while self._size > self._most:
                self._size -= len(self._parsed.popitem(last=False)[0])
        return specification


_PARSED = _ParsedSpecifications(_MOST_CHARACTERS)


def read_specification(text: str) -> Specification:
    """Parse a stored specification, which was validated before it was stored. Cached."""
    return _PARSED.get(text)


@lru_cache(maxsize=1000)
def _warn(handle: str, error: str) -> None:
    """Log once that an experiment is left out: pages read the lists every second."""
    log.warning("lists leave out %s: its specification cannot be parsed: %s", handle, error)


_PARSE_ERRORS = (
    *(AttributeError, LookupError, OverflowError, TypeError, ValueError),
    RecursionError,  # of the JSON parser
    OrchestuneError,
)
"""errors of `Specification.from_json` for documents that an earlier version accepted"""


def readable(rows: Iterable[ExperimentRow]) -> list[ExperimentRow]:
    """Return the rows without those whose specification cannot be parsed: one such row must not break a list."""
    parsed = []
    for row in rows:
        try:
            read_specification(row.specification_json)
        except _PARSE_ERRORS as error:
            _warn(row.handle, f"{type(error).__name__}: {error}")
        else:
            parsed.append(row)
    return parsed


_COLUMN_OF = {field.name: field.name.removesuffix("_json") for field in fields(ExperimentRow)}
"""field → column"""
_COLUMNS = [experiments.c[column].label(field) for field, column in _COLUMN_OF.items()]
_SELECTED = ", ".join(f"{column} AS {field}" for field, column in _COLUMN_OF.items())
_UNSAVED = (
    *("handle", "name", "owner", "cluster", "folder", "specification", "launch", "bundle", "rerun_of", "revision"),
    *("budget", "parallelism", "priority", "labels", "visibility", "program", "created_at", "files_deleted_at"),
    *("imported_at", "principal"),
)
"""columns that `save` does not write: they are immutable or have their own statements"""
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
    """Return the row, locked until the transaction ends (on SQLite by the transaction). Raises NotFound if absent."""
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
    own = (experiments.c.id == experiment) & _IS_KEPT
    session.change(update(experiments).where(own).values(visibility=visibility))


def show(session: Session, experiment: str) -> bool:
    """List an experiment again. Return False if it is being purged."""
    own = (experiments.c.id == experiment) & _IS_KEPT
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
        select(*_COLUMNS).where(or_(experiments.c.id == name, experiments.c.handle == name)), ExperimentRow
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


_LISTED = 5


def _by_prefix(session: Session, name: str) -> tuple[list[Candidate], int]:
    """Return the newest candidates for a prefix, at most `_LISTED`, and the number of all.

    Reads no other columns than shown: thousands of experiments may have a common prefix, each with a specification of
    hundreds of kilobytes.
    """
    literal = name.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    handle, identity = experiments.c.handle, experiments.c.id
    whole_slug = handle.like(f"{literal}-____", escape="\\")
    prefix = or_(handle.like(f"{literal}%", escape="\\"), identity.like(f"{literal}%", escape="\\"))
    for is_visible in (_IS_LISTED, experiments.c.visibility != Visibility.LISTED):
        for is_candidate in (whole_slug, prefix):
            where = (is_visible, is_candidate)
            query = select(identity, handle, experiments.c.state).where(*where)
            candidates = session.select(query.order_by(experiments.c.created_at.desc()).limit(_LISTED), Candidate)
            if candidates:
                return candidates, session.first(select(func.count()).where(*where), int) or 0
    return [], 0


def _listed(candidates: Sequence[Candidate], count: int) -> str:
    """Return an enumeration such as `sgd-7f3a (running) or sgd-1b2c (completed)`."""
    names = [f"{row.handle} ({row.state})" for row in candidates]
    if count > len(names):
        names.append(f"{count - len(names)} more")
    return f"{', '.join(names[:-1])} or {names[-1]}"


def made_by(session: Session, request_key: str) -> str | None:
    """Return the id of the experiment that the request with this Idempotency-Key created, None if absent."""
    return session.first(select(experiments.c.id).where(experiments.c.idempotency_key == request_key), str)


def get(session: Session, experiment: str) -> ExperimentRow:
    """Return an experiment by id, without a lock. Raises NotFound if absent."""
    row = session.row(SELECT, {"id": experiment})
    if row is None:
        raise NotFound(f"there is no experiment {experiment}")
    return row


class Listed(Struct, frozen=True, gc=False):
    """An experiment of a page, without its columns that may be large."""

    id: str
    created_at: float


def page(
    session: Session, *, folder: str | None, limit: int, before: float | None, hidden: bool = False
) -> list[Listed]:
    """Return up to `limit` experiments of one folder or of all, newest first, that were created before `before`.

    `hidden` includes hidden experiments, except those that are being purged.
    """
    query = select(experiments.c.id, experiments.c.created_at).where(_IS_KEPT if hidden else _IS_LISTED)
    if folder is not None:
        query = query.where(experiments.c.folder == folder)
    if before is not None:
        query = query.where(experiments.c.created_at < before)
    query = query.order_by(experiments.c.created_at.desc()).limit(limit)
    return session.select(query, Listed)


class ExperimentOutline(Struct, frozen=True, gc=False):
    """The fields by which lists are searched and sorted."""

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
    ExperimentOutline,
    """
SELECT id, handle, name, owner, cluster, labels, state, budget, completed + failed + pruned AS finished, running,
failed, created_at FROM experiments WHERE (visibility = 'listed' OR CAST(:hidden AS INTEGER) = 1)
AND (CAST(:folder AS TEXT) IS NULL OR folder = :folder) ORDER BY created_at DESC, id DESC
""",
)


def outlines(session: Session, *, folder: str | None = None, hidden: bool = False) -> list[ExperimentOutline]:
    """Return the outlines of all experiments, of one folder or of any, newest first."""
    return session.rows(OUTLINES, {"folder": folder, "hidden": int(hidden)})


def of_ids(session: Session, ids: Sequence[str]) -> list[ExperimentRow]:
    """Return the experiments with these ids in this order; absent ones are left out."""
    rows = {row.id: row for row in session.among(select(*_COLUMNS), experiments.c.id, ids, ExperimentRow)}
    return [rows[each] for each in ids if each in rows]


def unfinished(session: Session) -> list[ExperimentRow]:
    """Return every unfinished experiment in the order of resource allocation: by priority, then age.

    Several controllers hold these rows at the same time; `services.commands.size_limits` bounds their size.
    """
    return session.rows(UNFINISHED, {})


class UnfinishedSize(Struct, frozen=True, gc=False):
    """Unfinished experiments of one owner and of all: their number, and the characters of specification and launch."""

    own_count: int
    own: int
    total_count: int
    total: int


UNFINISHED_SIZE = Query(
    UnfinishedSize,
    """
SELECT COALESCE(SUM(CASE WHEN owner = :owner AND COALESCE(principal, '') = :principal
THEN LENGTH(specification) + LENGTH(launch) END), 0) AS own,
COALESCE(SUM(CASE WHEN owner = :owner AND COALESCE(principal, '') = :principal THEN 1 END), 0) AS own_count,
COUNT(*) AS total_count, COALESCE(SUM(LENGTH(specification) + LENGTH(launch)), 0) AS total
FROM experiments WHERE state IN ('pending', 'running', 'paused', 'stopping')
""",
)


def unfinished_size(session: Session, owner: str, principal: str | None) -> UnfinishedSize:
    """Return the size of the unfinished experiments of this owner with this principal, and of all."""
    size = session.row(UNFINISHED_SIZE, {"owner": owner, "principal": principal or ""})
    assert size is not None, "an aggregate has one row"
    return size


class WithFiles(Struct, frozen=True, gc=False):
    """An experiment that has logs or files, and the time at which their retention period starts."""

    since: float
    id: str


FIRST = WithFiles(0.0, "")
"""cursor before every experiment"""


def with_old_files(session: Session, before: float, limit: int, after: WithFiles) -> list[WithFiles]:
    """Return up to `limit` experiments whose retention started before `before`, with files not deleted since.

    Retention starts at the end of the experiment, or at a later import. `after` is the cursor: the last one returned.
    """
    dropped, ended, imported = (experiments.c[name] for name in ("files_deleted_at", "finished_at", "imported_at"))
    since = case((imported > ended, imported), else_=ended)
    query = select(since.label("since"), experiments.c.id).where(since < before, dropped.is_(None) | (dropped < ended))
    query = query.where(or_(since > after.since, and_(since == after.since, experiments.c.id > after.id)))
    return session.select(query.order_by(since, experiments.c.id).limit(limit), WithFiles)


def to_remove(session: Session) -> list[str]:
    """Return the ids of finished experiments whose removal was requested."""
    over = [state for state in ExperimentState if state.over]
    return session.select(
        select(experiments.c.id).where(experiments.c.visibility == Visibility.PURGING, experiments.c.state.in_(over)),
        str,
    )


class Labelled(Struct, frozen=True, gc=False):
    """An experiment with its labels (JSON)."""

    id: str
    handle: str
    owner: str
    labels: str


def labelled(session: Session, label: str) -> list[Labelled]:
    """Return the experiments with this label, except those that are being purged."""
    query = select(*(experiments.c[name] for name in Labelled.__struct_fields__))
    has_label = experiments.c.labels.contains(f'"{label}"', autoescape=True)
    return session.select(query.where(_IS_KEPT, has_label), Labelled)


class WithArtifacts(Struct, frozen=True, gc=False):
    """An experiment that has artifacts."""

    id: str
    imported_at: float | None
    event_seq: int


def with_artifacts(session: Session) -> dict[tuple[str, float | None], int]:
    """Return the number of the last event of each experiment that has artifacts, by `ExperimentRow.cache_key`."""
    query = select(experiments.c.id, experiments.c.imported_at, experiments.c.event_seq)
    with_files = query.where(experiments.c.id.in_(select(artifacts.c.experiment).distinct()))
    return {(row.id, row.imported_at): row.event_seq for row in session.select(with_files, WithArtifacts)}


def count_by_state(session: Session) -> dict[str, int]:
    """Return the number of listed experiments by state."""
    query = select(experiments.c.state, func.count().label("count")).where(_IS_LISTED)
    counts = session.select(query.group_by(experiments.c.state), StateCount)
    return {each.state: each.count for each in counts}


def sums(session: Session, counters: Sequence[str]) -> dict[str, int]:
    """Return the sum of each of these counters over all experiments."""
    totals = (func.coalesce(func.sum(experiments.c[name]), 0).label(name) for name in counters)
    return {name: int(total) for name, total in session.connection.execute(select(*totals)).mappings().one().items()}
