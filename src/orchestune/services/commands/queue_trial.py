"""Queue a configuration that a user chose."""

from __future__ import annotations

from orchestune import documents
from orchestune.domain.lifecycle.states import Reason, ReasonCode, TrialState
from orchestune.domain.search.space import Configuration
from orchestune.errors import BadInput, Conflict
from orchestune.services.actors import by
from orchestune.services.core import Core
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.execution.prefetch import MAX_QUEUED_FOLDS, has_room, most_queued
from orchestune.services.execution.trials import SuggestedTrial
from orchestune.services.idempotency import IdempotentRequest
from orchestune.services.queries import read_trials
from orchestune.services.queries.read_experiments import resolve
from orchestune.store import trials as rows

_QUEUED_PER_SUGGESTED = 2
"""queued trials per trial that the server itself may queue: users can add some to the suggestions"""


def queue_trial(
    core: Core, ref: str, parameters: Configuration, actor: str, request: IdempotentRequest | None = None
) -> documents.Trial:
    """Queue one configuration; it counts towards the budget.

    If the budget is used up, it replaces the last suggested trial that has not started; raises Conflict if there is
    none, if the experiment is ending, or if the queued trials have too many bytes.

    `request`: the request, for idempotent retries.
    """
    experiment = resolve(core, ref)
    with locked(core, experiment, actor) as ledger:
        row = ledger.row
        problems = row.specification.space.configuration_problems(parameters)
        if problems:
            raise BadInput(problems)
        spent = row.finished + row.open >= row.budget
        displaced = rows.suggested(ledger.session, experiment, 1) if spent else []
        if spent and not displaced:
            raise Conflict(
                f"the budget of {row.budget} trials is used up: {row.finished} finished, {row.open} running or queued",
                f"orchestune extend {row.handle} --budget N",
            )
        if row.ending:
            hint = f"start another search with its results: orchestune run --warm-start {row.handle}"
            raise Conflict(
                f"{row.handle} is {row.state}", f"orchestune resume {row.handle}" if row.ended_by is None else hint
            )
        if row.queued >= _QUEUED_PER_SUGGESTED * most_queued(row):
            raise Conflict(f"{row.handle} has {row.queued:,} queued trials", "retry when some of them have started")
        if not displaced and not has_room(row):
            text = f"{row.handle} has {row.pending_folds:,} folds of trials that wait (at most {MAX_QUEUED_FOLDS:,})"
            raise Conflict(text, "retry after some of them have started")
        for trial in displaced:
            reason = Reason(ReasonCode.STOPPED, f"replaced by a configuration that was queued {by(actor)}")
            trials.cancel(ledger, trial, TrialState.QUEUED, reason)
        number = trials.queue(ledger, [SuggestedTrial(row.specification.space.exact(parameters), "user")])[0]
        queued = read_trials.of_number(ledger.session, row, number)
        if request is not None:
            request.answered(ledger.session, 201, queued)
    return queued
