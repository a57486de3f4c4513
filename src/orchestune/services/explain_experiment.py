"""What a search shows about its parameters."""

from __future__ import annotations

import math

from orchestune import documents
from orchestune.domain import findings
from orchestune.domain.metrics import Metric
from orchestune.domain.trial import Observation
from orchestune.engines import analyses
from orchestune.services.bests import measured
from orchestune.services.core import Core
from orchestune.services.read_experiments import declared
from orchestune.services.read_history import completed, observations
from orchestune.services.unpruned import unpruned
from orchestune.store import experiments, trials
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

_MOST = 3000
"""trials that are looked at; more of them change little and take seconds, or minutes for a measure of importance"""


def importance(core: Core, ref: str, metric: str | None) -> documents.Importance:
    """Return how much each parameter matters for a declared metric; for the first one if `metric` is None."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = _selection(session, row)
    return _importance(row, declared(row, metric), history)


def explain(core: Core, ref: str, metric: str | None) -> documents.Explanation:
    """Return the importance of each parameter with measured facts about the search, in sentences for people."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = _selection(session, row)
        whole = _whole(session, row) if len(history) < row.history_seq else None
        idle = unpruned(session, row)
    chosen = declared(row, metric)
    spec = row.specification
    weighed = _importance(row, chosen, history)
    facts = findings.findings(spec.space, chosen, history, spec.metrics, spec.folds.count, whole)
    if not weighed["parameters"]:  # a random search ends at bounds, too
        facts = [fact for fact in facts if fact.code != "at_bound"]
    facts += [findings.Finding("nothing_pruned", idle)] if idle else []
    return {
        **weighed,
        "findings": [{"code": fact.code, "message": fact.message, "parameter": fact.parameter} for fact in facts],
    }


def _selection(session: Session, row: ExperimentRow) -> list[Observation]:
    return observations(session, row, 0, every=math.ceil(row.history_seq / _MOST) or 1)


def _whole(session: Session, row: ExperimentRow) -> findings.Whole:
    best = measured(session, row)
    places = trials.places(session, row.id, best)
    found = {places[seen.number]: seen for seen in completed(session, row, best)}
    return findings.Whole(row.history_seq, found, trials.repeated(session, row.id))


def _importance(row: ExperimentRow, metric: Metric, history: list[Observation]) -> documents.Importance:
    shares = analyses.importance(row.specification.space, metric, history)
    return {
        "metric": metric.name,
        "trials": row.completed,
        "parameters": [{"name": name, "importance": round(share, 6)} for name, share in shares.items()],
    }
