"""Rows of the files that trials left and that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select

from orchestune.store.session import Session
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
    over = select(trials.c.number).where(trials.c.experiment == experiment, trials.c.finished_at.is_not(None))
    session.change(
        delete(artifacts).where(
            artifacts.c.experiment == experiment, artifacts.c.trial.in_(over), artifacts.c.trial.not_in(kept)
        )
    )
