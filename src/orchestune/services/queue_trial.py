"""A configuration that a user wants tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.errors import BadInput, Conflict
from orchestune.services import read_trials, trials
from orchestune.services.core import Core
from orchestune.services.ledger import locked
from orchestune.services.read_experiments import resolve
from orchestune.services.trials import Suggestion


def queue_trial(core: Core, ref: str, parameters: Mapping[str, Any], actor: str) -> dict[str, Any]:
    """Queue one configuration; it counts for the budget. Conflict where the budget is spent or it was stopped."""
    experiment = resolve(core, ref)
    with locked(core, experiment, actor) as ledger:
        row = ledger.row
        problems = row.specification.space.configuration_problems(parameters)
        if problems:
            raise BadInput(problems)
        if row.finished + row.open >= row.budget:
            raise Conflict(
                f"each of the {row.budget} trials of the budget has its configuration: "
                f"{row.finished} ended, {row.open} run or wait",
                f"orchestune extend {row.handle} --budget N",
            )
        if row.state.over:
            raise Conflict(f"{row.handle} is {row.state}", f"orchestune resume {row.handle}")
        number = trials.queue(ledger, [Suggestion(parameters, "user")])[0]
    return read_trials.trial(core, experiment, number)
