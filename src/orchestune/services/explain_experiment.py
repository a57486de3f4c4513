"""What a search shows about its parameters."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from orchestune.domain import findings
from orchestune.domain.metrics import Metric
from orchestune.domain.trial import Observation
from orchestune.engines import analyses
from orchestune.services.core import Core
from orchestune.services.read_experiments import declared
from orchestune.services.read_history import observations
from orchestune.services.unpruned import unpruned
from orchestune.store import experiments
from orchestune.store.experiments import ExperimentRow

_MOST = 3000
"""trials that a measure of importance rests on; more of them change it little, and take minutes"""


def importance(core: Core, ref: str, metric: str | None) -> dict[str, Any]:
    """How much each parameter matters for a declared metric, the first one where none is named."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = observations(session, row, 0, every=math.ceil(row.history_seq / _MOST) or 1)
    return _importance(row, declared(row, metric), history)


def explain(core: Core, ref: str, metric: str | None) -> dict[str, Any]:
    """The same, and measured facts in plain words."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = observations(session, row, 0)
        idle = unpruned(session, row)
    chosen = declared(row, metric)
    told = row.specification
    found = findings.findings(told.space, chosen, history, told.metrics, told.folds.count)
    found += [findings.Finding("nothing_pruned", idle)] if idle else []
    return _importance(row, chosen, history) | {"findings": [asdict(finding) for finding in found]}


def _importance(row: ExperimentRow, metric: Metric, history: list[Observation]) -> dict[str, Any]:
    found = analyses.importance(row.specification.space, metric, history[:: math.ceil(len(history) / _MOST) or 1])
    return {
        "metric": metric.name,
        "trials": row.completed,
        "parameters": [{"name": name, "importance": round(share, 6)} for name, share in found.items()],
    }
