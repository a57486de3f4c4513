"""End of folds: store the metrics, then continue or end the trial. All functions run under the ledger's lock."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestune.domain.lifecycle.states import FoldState, Reason, ReasonCode, TrialState
from orchestune.domain.lifecycle.transitions import Cause
from orchestune.domain.specification import folds
from orchestune.domain.specification.metrics import ReducedMetric, objectives
from orchestune.services.execution import trials
from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store import trials as rows
from orchestune.store.experiments import ExperimentRow
from orchestune.store.statements.trials import FOLDS_OF_TRIAL, MEASURE_FOLD, STATES_OF_FOLDS

Folds = dict[int, Mapping[str, ReducedMetric]]

_MAX_OTHER_VALUES = 20_000
"""Values of undeclared metrics that are stored of all folds of a trial together: the last fold reads all of them."""


def done(ledger: Ledger, trial: int, fold: int, old: TrialState, measured: Mapping[str, ReducedMetric]) -> None:
    """Record a succeeded fold. The last one completes the trial; an earlier one may prune it as hopeless."""
    _store_metrics(ledger, trial, fold, _bounded(ledger.row, measured))
    states = ledger.session.rows(STATES_OF_FOLDS, {"experiment": ledger.row.id, "trial": trial})
    is_complete = all(state == FoldState.DONE for state in states)
    if not is_complete and ledger.row.specification.folds.prune_after is None:
        trials.keep_running(ledger, trial, old)
        return
    measured_folds = _metrics_of_done(ledger, trial)
    if is_complete:
        trials.finish(ledger, trial, old, Cause.SUCCEED, None, folds.combine(list(measured_folds.values())))
        return
    pruning = _prune_reason(ledger, measured_folds)
    if pruning is None:
        trials.keep_running(ledger, trial, old)
        return
    reason = Reason(ReasonCode.PRUNED, pruning)
    trials.cancel_folds(ledger, trial, reason)
    trials.finish(ledger, trial, old, Cause.PRUNE, reason, folds.combine(list(measured_folds.values())))


def ended(
    ledger: Ledger,
    trial: int,
    old: TrialState,
    cause: Cause,
    reason: Reason | None,
    measured: Mapping[str, ReducedMetric],
    missing: str | None,
) -> None:
    """End the trial of a fold that was pruned or failed without retries left, and cancel the other folds."""
    why = f": {reason.message}" if reason else ""
    word = "was pruned" if cause is Cause.PRUNE else "failed"
    trials.cancel_folds(ledger, trial, Reason(ReasonCode.CANCELLED, f"another fold {word}{why}"))
    measured_folds = _metrics_of_done(ledger, trial)
    several = [*measured_folds.values(), measured] if measured else list(measured_folds.values())
    trials.finish(ledger, trial, old, cause, reason, folds.combine(several) if several else {}, missing)


def _prune_reason(ledger: Ledger, measured_folds: Folds) -> str | None:
    row, metrics = ledger.row, objectives(ledger.row.specification.metrics)
    least = row.specification.folds.prune_after
    if least is None or len(measured_folds) < least or row.best_trial is None or row.best_value is None:
        return None
    best = {row.specification.objective.name: row.best_value}
    if len(metrics) > 1:
        measured = rows.metrics_of(ledger.session, row.id, [row.best_trial])[row.best_trial]
        best = {name: value.value for name, value in measured.items()}
    return folds.prune_reason(row.specification.folds, metrics, measured_folds, _bests(row), best)


def _bests(row: ExperimentRow) -> dict[str, list[float | None]]:
    """Return the best values per fold by objective. With a single objective the store holds a bare list."""
    bests = json.loads(row.best_by_fold) if row.best_by_fold else {}
    return bests if isinstance(bests, dict) else {row.specification.objective.name: bests}


def _store_metrics(ledger: Ledger, trial: int, fold: int, measured: Mapping[str, ReducedMetric]) -> None:
    row, text = ledger.row, json.dumps({name: value.to_json() for name, value in measured.items()})
    ledger.session.run(MEASURE_FOLD, {"experiment": row.id, "trial": trial, "fold": fold, "metrics": text})
    specification = row.specification
    if specification.folds.prune_after is not None:
        bests, metrics = _bests(row), objectives(specification.metrics)
        for metric in metrics:
            best_values = bests.get(metric.name) or [None] * specification.folds.count
            bests[metric.name] = folds.update_bests(metric, best_values, fold, measured[metric.name].value)
        row.best_by_fold = json.dumps(bests if len(metrics) > 1 else bests[metrics[0].name])


def _bounded(row: ExperimentRow, measured: Mapping[str, ReducedMetric]) -> dict[str, ReducedMetric]:
    """Return the declared metrics and the first others by name, the same number of each fold."""
    declared = {metric.name for metric in row.specification.metrics}
    others = sorted(measured.keys() - declared)
    left_out = set(others[_MAX_OTHER_VALUES // row.specification.folds.count :])
    return {name: value for name, value in measured.items() if name not in left_out}


def _metrics_of_done(ledger: Ledger, trial: int) -> Folds:
    """Return the metrics of the completed folds."""
    folds = ledger.session.rows(FOLDS_OF_TRIAL, {"experiment": ledger.row.id, "trial": trial})
    measured = {fold.fold: json.loads(fold.metrics) for fold in folds if fold.state == FoldState.DONE and fold.metrics}
    return {
        fold: {name: ReducedMetric(value["value"], value["stddev"]) for name, value in metrics.items()}
        for fold, metrics in measured.items()
    }
