"""Rows of the files that trials left and that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select

from orchestune.store.session import Session, parts
from orchestune.store.tables import artifacts, trials


def of_trial(session: Session, experiment: str, number: int) -> Sequence[Row[Any]]:
    """Artifacts of one trial, by path."""
    query = select(artifacts).where(artifacts.c.experiment == experiment, artifacts.c.trial == number)
    return session.select(query.order_by(artifacts.c.path))


def get(session: Session, experiment: str, number: int, path: str) -> Row[Any] | None:
    """One artifact of a trial."""
    return session.first(
        select(artifacts).where(
            artifacts.c.experiment == experiment, artifacts.c.trial == number, artifacts.c.path == path
        )
    )


def put(session: Session, values: dict[str, Any]) -> None:
    """Record an artifact; a later attempt's file replaces the earlier one's."""
    session.change(
        delete(artifacts).where(
            artifacts.c.experiment == values["experiment"],
            artifacts.c.trial == values["trial"],
            artifacts.c.path == values["path"],
        )
    )
    session.change(insert(artifacts).values(**values))


def drop(session: Session, experiment: str, kept: set[int]) -> None:
    """Forget the artifacts of finished trials other than `kept`."""
    of_trial = (trials.c.experiment == artifacts.c.experiment) & (trials.c.number == artifacts.c.trial)
    over = select(artifacts.c.trial).distinct().join(trials, of_trial)
    over = over.where(artifacts.c.experiment == experiment, trials.c.finished_at.is_not(None))
    for some in parts({row.trial for row in session.select(over)} - kept):
        session.change(delete(artifacts).where(artifacts.c.experiment == experiment, artifacts.c.trial.in_(some)))
