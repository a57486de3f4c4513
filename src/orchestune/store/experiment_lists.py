"""Lists of experiments, and numbers over all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import and_, case, func, or_, select

from orchestune.domain.lifecycle.states import ExperimentState, Visibility
from orchestune.errors import OrchestuneError
from orchestune.store.experiments import COLUMNS, IS_KEPT, IS_LISTED, SELECTED, ExperimentRow
from orchestune.store.rows import Query, StateCount
from orchestune.store.session import Session
from orchestune.store.specifications import read_specification
from orchestune.store.tables import artifacts, experiments

log = logging.getLogger(__name__)


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


UNFINISHED = Query(
    ExperimentRow,
    f"""
SELECT {SELECTED} FROM experiments WHERE state IN ('pending', 'running', 'paused', 'stopping')
ORDER BY priority DESC, created_at
""",
)


class Listed(Struct, frozen=True, gc=False):
    """An experiment of a page, without its columns that may be large."""

    id: str
    created_at: float


class OwnedBy(NamedTuple):
    """A filter: the experiments of one owner whose name was authenticated at their creation, or was only claimed."""

    owner: str
    is_authenticated: bool


def page(
    session: Session,
    *,
    folder: str | None,
    limit: int,
    before: float | None,
    hidden: bool = False,
    owned_by: OwnedBy | None = None,
) -> list[Listed]:
    """Return up to `limit` experiments of one folder or of all, newest first, that were created before `before`.

    `hidden` includes hidden experiments, except those that are being purged.
    """
    query = select(experiments.c.id, experiments.c.created_at).where(IS_KEPT if hidden else IS_LISTED)
    if folder is not None:
        query = query.where(experiments.c.folder == folder)
    if owned_by is not None:
        is_claimed = experiments.c.principal.is_(None)
        query = query.where(experiments.c.owner == owned_by.owner)
        query = query.where(~is_claimed if owned_by.is_authenticated else is_claimed)
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
    rows = {row.id: row for row in session.among(select(*COLUMNS), experiments.c.id, ids, ExperimentRow)}
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
    return session.select(query.where(IS_KEPT, has_label), Labelled)


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
    query = select(experiments.c.state, func.count().label("count")).where(IS_LISTED)
    counts = session.select(query.group_by(experiments.c.state), StateCount)
    return {each.state: each.count for each in counts}


def sums(session: Session, counters: Sequence[str]) -> dict[str, int]:
    """Return the sum of each of these counters over all experiments."""
    totals = (func.coalesce(func.sum(experiments.c[name]), 0).label(name) for name in counters)
    return {name: int(total) for name, total in session.connection.execute(select(*totals)).mappings().one().items()}
