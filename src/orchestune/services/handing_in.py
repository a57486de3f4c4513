"""Files that attempts which succeeded hand in: on their way until they arrived, lost where they are refused, or with
a worker that had them still.

Meanwhile, and for ever where they are lost, the attempt's reason tells so.
"""

from __future__ import annotations

import json

from orchestune.domain.states import AttemptState, Reason, ReasonCode
from orchestune.domain.words import plural
from orchestune.services.ledger import Ledger
from orchestune.store import changes
from orchestune.store.session import Session


def announced(ledger: Ledger, attempt: str, trial: int, count: int) -> Reason | None:
    """What to tell of an attempt that succeeds and leaves so many files; None where they are here already."""
    where = {"experiment": ledger.row.id, "trial": trial, "attempt": attempt}
    here = ledger.session.row(changes.COUNT_ARTIFACTS, where) if count else 0
    if (here or 0) >= count:
        return None
    return Reason(ReasonCode.FILES_ON_THE_WAY, f"hands in {plural(count, 'file')}")


def arrived(ledger: Ledger, attempt: str) -> None:
    """All files of an attempt are here."""
    ledger.session.run(changes.FILES_ARRIVED, {"attempt": attempt, "state": AttemptState.SUCCEEDED})


def refused(ledger: Ledger, attempt: str, why: str) -> None:
    """The files of an attempt that has ended will not come: something between its worker and the store refused them."""
    ledger.session.run(changes.FILES_REFUSED, {"attempt": attempt, **_told(f"they were refused: {why}")})


def lost(session: Session, worker: str, name: str, why: str) -> int:
    """What a worker that is gone had not handed in will not come; how many attempts that concerns."""
    return session.run(changes.FILES_LOST, {"worker": worker, **_told(f"worker {name} is gone: {_brief(why)}")})


def _told(why: str) -> dict[str, str]:
    """What is said of attempts whose files do not arrive, and of which attempts."""
    reason = Reason(ReasonCode.FILES_LOST, f"its files did not arrive: {why}")
    return {
        "state": AttemptState.SUCCEEDED,
        "reason": json.dumps(reason.to_json()),
        "on_the_way": f'%"{ReasonCode.FILES_ON_THE_WAY}"%',
    }


def _brief(why: str) -> str:
    """Why a worker is gone, without what it printed last."""
    return why.splitlines()[0].removesuffix("; its last lines:") if why else ""
