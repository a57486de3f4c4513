"""Importance of parameters and other findings about a search."""

from __future__ import annotations

import math

from orchestune import documents
from orchestune.domain.search import findings
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process import analyses
from orchestune.services.core import Core
from orchestune.services.queries.best_trials import measured
from orchestune.services.queries.pruning_diagnosis import unpruned
from orchestune.services.queries.read_experiments import declared
from orchestune.services.read_history import completed, observations
from orchestune.store import experiments, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_MAX_TRIALS = 3000
"""trials analyzed; more change the result little but take seconds, or minutes for the importance"""


def importance(core: Core, ref: str, metric: str | None) -> documents.Importance:
    """Return the importance of each parameter for a declared metric; None selects the first one."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = _selection(session, row)
    return _importance(row, declared(row, metric), history)


def explain(core: Core, ref: str, metric: str | None) -> documents.Explanation:
    """Return the importance of each parameter, and findings about the search as readable sentences."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = _selection(session, row)
        whole = _whole(session, row) if len(history) < row.history_seq else None
        idle = unpruned(session, row)
    chosen = declared(row, metric)
    spec = row.specification
    weighed = _importance(row, chosen, history)
    facts = findings.findings(spec.space, chosen, history, spec.metrics, spec.folds.count, whole)
    if not weighed["parameters"]:  # random searches have best values at bounds, too
        facts = [fact for fact in facts if fact.code != "at_bound"]
    facts += [findings.Finding("nothing_pruned", idle)] if idle else []
    return {
        **weighed,
        "findings": [{"code": fact.code, "message": fact.message, "parameter": fact.parameter} for fact in facts],
    }


def _selection(session: Session, row: ExperimentRow) -> list[Observation]:
    return observations(session, row, 0, every=math.ceil(row.history_seq / _MAX_TRIALS) or 1)


def _whole(session: Session, row: ExperimentRow) -> findings.SearchFacts:
    best = measured(session, row)
    places = trials.places(session, row.id, best)
    best_by_rank = {places[trial.number]: trial for trial in completed(session, row, best)}
    return findings.SearchFacts(row.history_seq, best_by_rank, trials.repeated(session, row.id))


def _importance(row: ExperimentRow, metric: Metric, history: list[Observation]) -> documents.Importance:
    shares = analyses.importance(row.specification.space, metric, history)
    return {
        "metric": metric.name,
        "trials": row.completed,
        "parameters": [{"name": name, "importance": round(share, 6)} for name, share in shares.items()],
    }
