"""What a search shows about its parameters."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from orchestune.domain import findings
from orchestune.domain.metrics import Metric
from orchestune.domain.trial import Observation
from orchestune.engines import process
from orchestune.errors import UsageError
from orchestune.services.core import Core
from orchestune.services.read_history import observations
from orchestune.store import experiments
from orchestune.store.experiments import ExperimentRow

_MOST = 3000
"""trials that a measure of importance rests on; more of them change it little, and take minutes"""


def importance(core: Core, ref: str, metric: str | None) -> dict[str, Any]:
    """How much each parameter matters for a declared metric, the first one where none is named."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = observations(session, row, 0, every=math.ceil(row.history_seq / _MOST) or 1)
    return _importance(row, _metric(row, metric), history)


def explain(core: Core, ref: str, metric: str | None) -> dict[str, Any]:
    """The same, and measured facts in plain words."""
    with core.store.reading() as session:
        row = experiments.find(session, ref)
        history = observations(session, row, 0)
    chosen = _metric(row, metric)
    found = findings.findings(row.specification.space, chosen, history)
    return _importance(row, chosen, history) | {"findings": [asdict(finding) for finding in found]}


def _metric(row: ExperimentRow, name: str | None) -> Metric:
    metrics = row.specification.metrics
    if name is None:
        return metrics[0]
    for metric in metrics:
        if metric.name == name:
            return metric
    known = ", ".join(metric.name for metric in metrics)
    raise UsageError(f"{row.handle} has no metric '{name}'", f"it has {known}")


def _importance(row: ExperimentRow, metric: Metric, history: list[Observation]) -> dict[str, Any]:
    found = process.importance(row.specification.space, metric, history[:: math.ceil(len(history) / _MOST) or 1])
    return {
        "metric": metric.name,
        "trials": row.completed,
        "parameters": [{"name": name, "importance": round(share, 6)} for name, share in found.items()],
    }
