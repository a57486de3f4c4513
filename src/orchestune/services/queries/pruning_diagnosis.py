"""Diagnose early stopping that never prunes a trial."""

from __future__ import annotations

from orchestune.pruners import registry
from orchestune.pruners.diagnosis import TrialProgress, why_idle
from orchestune.store import trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_MIN_TRIALS = 5
"""Minimum of completed trials for a diagnosis."""
_EXAMINED_TRIALS = 20
"""Newest trials whose last steps are examined."""


def unpruned(session: Session, row: ExperimentRow) -> str | None:
    """Return why no trial was pruned if the cause is a misconfiguration; None if there is none, or too few trials."""
    rule = row.specification.early_stopping
    if rule is None or row.pruned or row.completed < _MIN_TRIALS:
        return None
    metric = registry.check(rule, row.specification.metrics)
    reaches = trials.reached(session, row.id, metric.name, _EXAMINED_TRIALS)
    return why_idle(rule, metric, [TrialProgress(each.step, each.values, each.seconds) for each in reaches], row.budget)
