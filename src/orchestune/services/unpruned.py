"""An experiment whose rule of early stopping ends nothing is told why."""

from __future__ import annotations

from orchestune.pruners import registry
from orchestune.pruners.idle import Reached, why_idle
from orchestune.store import trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_ENOUGH = 5
"""completed trials before anything is said"""
_LOOKED_AT = 20
"""of the newest ones it is seen how far they came"""


def unpruned(session: Session, row: ExperimentRow) -> str | None:
    """Why nothing was ended early, where something is wrong; None where all is well, or too little is known."""
    rule = row.specification.early_stopping
    if rule is None or row.pruned or row.completed < _ENOUGH:
        return None
    metric = registry.check(rule, row.specification.metrics)
    reaches = trials.reached(session, row.id, metric.name, _LOOKED_AT)
    return why_idle(rule, metric, [Reached(each.step, each.values, each.seconds) for each in reaches], row.budget)
