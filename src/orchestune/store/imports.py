"""Records that are being taken in, or whose import was cut off: rows of theirs are there, but none in `experiments`."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from orchestune.errors import StoreUnavailable
from orchestune.store.session import Session
from orchestune.store.tables import imports


def begin(session: Session, experiment: str, token: str) -> bool:
    """From now on who has this token alone may write its rows; whether one that was cut off may have left some."""
    left = take_over(session, experiment, token)
    if not left:
        session.change(insert(imports).values(experiment=experiment, token=token))
    return left


def take_over(session: Session, experiment: str, token: str) -> bool:
    """The same, where there is one."""
    own = imports.c.experiment == experiment
    return bool(session.change(update(imports).where(own).values(token=token)))


def hold(session: Session, experiment: str, token: str) -> None:
    """Nobody takes it over before this transaction ends. StoreUnavailable where somebody has."""
    own = (imports.c.experiment == experiment) & (imports.c.token == token)
    if not session.change(update(imports).where(own).values(token=token)):
        raise StoreUnavailable("another import of this experiment has begun since", "import it again in a moment")


def end(session: Session, experiment: str) -> None:
    """It is here as a whole, or nothing of it is left."""
    session.change(delete(imports).where(imports.c.experiment == experiment))


def begun(session: Session) -> list[str]:
    """The experiments."""
    return session.select(select(imports.c.experiment), str)
