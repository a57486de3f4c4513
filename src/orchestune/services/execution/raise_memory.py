"""Retry OOM-killed attempts with more memory, if the experiment file allows it. Under the ledger's lock."""

from __future__ import annotations

from dataclasses import dataclass

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.resources.more_memory import size
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store import workers
from orchestune.store.statements.trials import MEMORY_RAISES, RAISE_MEMORY


@dataclass(frozen=True)
class RaisedMemory:
    """Decision after an attempt was OOM killed."""

    reason: Reason
    """The attempt's reason, extended by the decision."""
    memory: int
    """Bytes for the next attempt; 0: no retry."""


def applies(ledger: Ledger, reason: Reason | None) -> bool:
    """Return True if the attempt was OOM killed and the experiment allows retries with more memory."""
    killed = reason is not None and reason.code is ReasonCode.OUT_OF_MEMORY
    return killed and ledger.row.specification.oom_retries > 0


def consider(ledger: Ledger, worker: str, trial: int, fold: int, reason: Reason) -> RaisedMemory:
    """Return how much memory the next attempt gets after that worker's was too small, or why there is no retry."""
    where = {"experiment": ledger.row.id, "trial": trial, "fold": fold}
    present = workers.get(ledger.session, worker)
    raised, most = ledger.session.row(MEMORY_RAISES, where) or 0, ledger.row.specification.oom_retries
    memory = present.memory_next if present is not None else None
    if raised >= most:
        memory, outcome = 0, f"{most} {'retry' if most == 1 else 'retries'} with more memory did not help"
    elif memory is None:
        outcome = "the memory request of a trial is unknown, so it cannot be raised: set resources.memory"
    else:
        outcome = f"retried with {size(memory)}" if memory else "no machine has more memory"
    return RaisedMemory(Reason(reason.code, f"{reason.message}; {outcome}"), memory or 0)


def raise_memory(ledger: Ledger, trial: int, fold: int, memory: int) -> None:
    """Request `memory` bytes for the next attempt of the fold."""
    where = {"experiment": ledger.row.id, "trial": trial, "fold": fold}
    ledger.session.run(RAISE_MEMORY, where | {"memory": memory})
    ledger.needs_other_workers()
