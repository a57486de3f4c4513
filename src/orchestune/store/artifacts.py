"""Rows of artifacts: files of trials that were uploaded and kept."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, delete, select

from orchestune.store.session import Session, batches
from orchestune.store.tables import artifacts, trials


class ArtifactRow(Struct, frozen=True, gc=False):
    """A row of `artifacts`."""

    experiment: str
    trial: int
    path: str
    attempt: str
    digest: str
    size: int
    created_at: float


def of_trial(session: Session, experiment: str, number: int) -> list[ArtifactRow]:
    """Return the artifacts of one trial, ordered by path."""
    query = select(artifacts).where(artifacts.c.experiment == experiment, artifacts.c.trial == number)
    return session.select(query.order_by(artifacts.c.path), ArtifactRow)


def get(session: Session, experiment: str, number: int, path: str) -> ArtifactRow | None:
    """Return one artifact of a trial, None if absent."""
    return session.first(select(artifacts).where(*_is(experiment, number, path)), ArtifactRow)


def put(session: Session, rows: Sequence[ArtifactRow]) -> None:
    """Insert artifacts; a file replaces one of an earlier attempt at the same path."""
    if not rows:
        return
    insert = session.insert(artifacts)
    key = artifacts.primary_key.columns.keys()
    others = {column.name: column for column in insert.excluded if column.name not in key}
    session.change(insert.on_conflict_do_update(index_elements=key, set_=others), [asdict(row) for row in rows])


def _is(experiment: str, number: int, path: str) -> tuple[ColumnElement[bool], ...]:
    return artifacts.c.experiment == experiment, artifacts.c.trial == number, artifacts.c.path == path


def drop(session: Session, experiment: str, retained: set[int]) -> None:
    """Delete the artifact rows of finished trials other than `retained`."""
    of_trial = (trials.c.experiment == artifacts.c.experiment) & (trials.c.number == artifacts.c.trial)
    over = select(artifacts.c.trial).distinct().join(trials, of_trial)
    over = over.where(artifacts.c.experiment == experiment, trials.c.finished_at.is_not(None))
    for batch in batches(set(session.select(over, int)) - retained):
        session.change(delete(artifacts).where(artifacts.c.experiment == experiment, artifacts.c.trial.in_(batch)))
