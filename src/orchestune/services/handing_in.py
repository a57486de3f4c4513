"""Files that attempts which succeeded hand in: on their way until they arrived, lost where they are refused, or with
a worker that had them still.

Columns of the attempt say so meanwhile, and if they are lost; views show that as the attempt's reason.
"""

from __future__ import annotations

from orchestune.domain.words import plural
from orchestune.services.ledger import Ledger
from orchestune.store import changes
from orchestune.store.session import Session


def announced(ledger: Ledger, attempt: str, trial: int, count: int) -> str | None:
    """Return what to say of an attempt that succeeds and leaves so many files, None if all of them have arrived."""
    where = {"experiment": ledger.row.id, "trial": trial, "attempt": attempt}
    arrived_files = ledger.session.row(changes.COUNT_ARTIFACTS, where) if count else 0
    return None if (arrived_files or 0) >= count else f"hands in {plural(count, 'file')}"


def arrived(ledger: Ledger, attempt: str) -> None:
    """All files of an attempt are here."""
    ledger.session.run(changes.FILES_ARRIVED, {"attempt": attempt})


def refused(ledger: Ledger, attempt: str, why: str) -> None:
    """The files of an attempt that has ended will not come: something between its worker and the store refused them."""
    message = f"its files did not arrive: they were refused: {why}"
    ledger.session.run(changes.FILES_REFUSED, {"attempt": attempt, "message": message})


def lost(session: Session, worker: str, name: str, why: str) -> int:
    """What a worker that is gone had not handed in will not come; how many attempts that concerns."""
    message = f"its files did not arrive: worker {name} is gone: {_brief(why)}"
    return session.run(changes.FILES_LOST, {"worker": worker, "message": message})


def _brief(why: str) -> str:
    """Why a worker is gone, without what it printed last."""
    return why.splitlines()[0].removesuffix("; its last lines:") if why else ""
