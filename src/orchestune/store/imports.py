"""Running and interrupted imports of records: their rows are stored, except the one in `experiments`."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from orchestune.errors import StoreUnavailable
from orchestune.store.session import Session
from orchestune.store.tables import imports


def begin(session: Session, experiment: str, token: str) -> bool:
    """Reserve the import for the holder of `token`. Return True if an interrupted import may have left rows."""
    is_interrupted = take_over(session, experiment, token)
    if not is_interrupted:
        session.change(insert(imports).values(experiment=experiment, token=token))
    return is_interrupted


def take_over(session: Session, experiment: str, token: str) -> bool:
    """Reserve an existing import for the holder of `token`. Return False if there is none."""
    own = imports.c.experiment == experiment
    return bool(session.change(update(imports).where(own).values(token=token)))


def hold(session: Session, experiment: str, token: str) -> None:
    """Keep others from taking over the import during this transaction. Raises StoreUnavailable if one has."""
    own = (imports.c.experiment == experiment) & (imports.c.token == token)
    if not session.change(update(imports).where(own).values(token=token)):
        raise StoreUnavailable("another import of this experiment has started", "retry in a moment")


def end(session: Session, experiment: str) -> None:
    """Delete the reservation: the import is complete, or all of its rows are removed."""
    session.change(delete(imports).where(imports.c.experiment == experiment))


def begun(session: Session) -> list[str]:
    """Return the ids of experiments whose import is running or interrupted."""
    return session.select(select(imports.c.experiment), str)
