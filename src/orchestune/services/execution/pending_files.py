"""Upload state of the files of succeeded attempts: pending until they arrive, lost if refused or if the worker dies.

Columns of the attempt hold the pending and the lost state; views show it as the attempt's reason.
"""

from __future__ import annotations

from orchestune.domain.words import plural
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store import changes
from orchestune.store.session import Session


def announced(ledger: Ledger, attempt: str, trial: int, count: int) -> str | None:
    """Return the status message of a succeeded attempt with `count` files; None if all of them have arrived."""
    where = {"experiment": ledger.row.id, "trial": trial, "attempt": attempt}
    arrived_files = ledger.session.row(changes.COUNT_ARTIFACTS, where) if count else 0
    return None if (arrived_files or 0) >= count else f"uploading {plural(count, 'file')}"


def arrived(ledger: Ledger, attempt: str) -> None:
    """Record that all files of an attempt have arrived."""
    ledger.session.run(changes.FILES_ARRIVED, {"attempt": attempt})


def refused(ledger: Ledger, attempt: str, why: str) -> None:
    """Record that the files of an ended attempt were refused between its worker and the store."""
    message = f"its files did not arrive: they were refused: {why}"
    ledger.session.run(changes.FILES_REFUSED, {"attempt": attempt, "message": message})


def lost(session: Session, worker: str, name: str, why: str) -> int:
    """Mark files not yet uploaded by an ended worker as lost; return the number of attempts affected."""
    message = f"its files did not arrive: worker {name} is gone: {_brief(why)}"
    return session.run(changes.FILES_LOST, {"worker": worker, "message": message})


def _brief(why: str) -> str:
    """Return the first line of a worker's end reason, without its log tail."""
    return why.splitlines()[0].removesuffix("; its last lines:") if why else ""
