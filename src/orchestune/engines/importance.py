"""Which parameters made the difference between a good trial and an ordinary one.

PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) as Optuna implements it, with its treatment of conditional
parameters: how much the best tenth of the trials differs from all of them along each parameter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from orchestune.domain import states
from orchestune.domain.metrics import Metric
from orchestune.domain.space import Space
from orchestune.domain.trial import Observation
from orchestune.engines.axes import axis
from orchestune.engines.snapshot import Snapshot, frozen

LEAST = 10
"""completed trials below which nothing is known"""
_MOST = 2000
"""completed trials that are looked at: the newest ones"""


def importance(space: Space, metric: Metric, history: Sequence[Observation]) -> dict[str, float]:
    """The share of each parameter, the largest first; together they are 1. Empty where nothing can be said."""
    trials = _trials(space, metric, history)[-_MOST:]
    if len(trials) < LEAST or len({trial.values[0] for trial in trials}) < 2:
        return {}
    directions = [optuna.study.StudyDirection.MINIMIZE]
    snapshot = Snapshot(directions)
    snapshot.show(trials)
    study = optuna.create_study(storage=snapshot, directions=directions)
    names = [name for name in space.by_name if any(name in trial.params for trial in trials)]
    with warnings.catch_warnings():  # this process has no other thread that it could disturb
        warnings.simplefilter("ignore", ExperimentalWarning)
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=names)
    return dict(sorted(found.items(), key=lambda item: -item[1])) if sum(found.values()) > 0 else {}


def _trials(space: Space, metric: Metric, history: Sequence[Observation]) -> list[FrozenTrial]:
    axes = {parameter.name: axis(parameter) for parameter in space.parameters}
    found: list[FrozenTrial] = []
    for seen in history:
        value = seen.metrics.get(metric.name, math.nan)
        if seen.state is not states.TrialState.COMPLETED or not math.isfinite(value):
            continue
        positions: dict[str, float | int] = {}
        distributions: dict[str, BaseDistribution] = {}
        for name, given in seen.parameters.items():
            position = axes[name].inward(given) if name in axes else None
            if position is not None:
                positions[name], distributions[name] = position, axes[name].distribution
        loss = value if metric.goal == "minimize" else -value
        found.append(frozen(len(found), TrialState.COMPLETE, positions, distributions, [loss]))
    return found
