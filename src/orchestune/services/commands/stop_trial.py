"""Stop a single trial."""

from __future__ import annotations

from orchestune import documents
from orchestune.domain.lifecycle.states import Reason, ReasonCode, TrialState
from orchestune.services.actors import by
from orchestune.services.core import Core
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.queries import read_trials
from orchestune.services.queries.read_experiments import resolve
from orchestune.store import trials as rows


def stop_trial(core: Core, ref: str, number: int, actor: str) -> documents.Trial:
    """Cancel a trial: a queued one never starts, a running one gets SIGTERM. Idempotent; a finished one is unchanged.

    A cancelled trial says nothing about its configuration, so the engine does not learn of it. It does not count
    towards the budget: another trial replaces it.
    """
    experiment = resolve(core, ref)
    with locked(core, experiment, actor) as ledger:
        state = TrialState(rows.need(ledger.session, ledger.row, number).state)
        if not state.over:
            trials.cancel(ledger, number, state, Reason(ReasonCode.STOPPED, f"stopped {by(actor)}"))
            ledger.evaluate()
    return read_trials.trial(core, experiment, number)
