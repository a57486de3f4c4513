"""What was killed for memory is tried again with more of it, where the file says so. Under the ledger's lock."""

from __future__ import annotations

from dataclasses import dataclass

from orchestune.domain.more_memory import size
from orchestune.domain.states import Reason, ReasonCode
from orchestune.services.ledger import Ledger
from orchestune.store import hot, workers


@dataclass(frozen=True)
class Raised:
    """What follows from an attempt that was killed for memory."""

    reason: Reason
    """with what is done about it"""
    memory: int
    """bytes that the next attempt gets; 0: there is none"""


def applies(ledger: Ledger, reason: Reason | None) -> bool:
    """Whether more memory is the answer to that failure."""
    killed = reason is not None and reason.code is ReasonCode.OUT_OF_MEMORY
    return killed and ledger.row.specification.oom_retries > 0


def consider(ledger: Ledger, worker: str, trial: int, fold: int, reason: Reason) -> Raised:
    """How much the next attempt gets of what was not enough on that worker, or why there is none."""
    where = {"experiment": ledger.row.id, "trial": trial, "fold": fold}
    present = workers.get(ledger.session, worker)
    raised, most = ledger.session.row(hot.MEMORY_RAISES, where) or 0, ledger.row.specification.oom_retries
    memory = present.memory_next if present is not None else None
    if raised >= most:
        memory, said = 0, f"{most} {'try' if most == 1 else 'tries'} with more memory did not help"
    elif memory is None:
        said = "nothing says how much memory a trial may take: write resources.memory, which can be raised then"
    else:
        said = f"tried again with {size(memory)}" if memory else "no machine has more memory for it"
    return Raised(Reason(reason.code, f"{reason.message}; {said}"), memory or 0)


def raise_memory(ledger: Ledger, trial: int, fold: int, memory: int) -> None:
    """The next attempt gets so many bytes."""
    where = {"experiment": ledger.row.id, "trial": trial, "fold": fold}
    ledger.session.run(hot.RAISE_MEMORY, where | {"memory": memory})
    ledger.needs_other_workers()
