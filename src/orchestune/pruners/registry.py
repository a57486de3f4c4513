"""Early stopping rules by name."""

from __future__ import annotations

from collections.abc import Iterable

from orchestune.domain.specification.early_stopping import OPTIONS, TYPES, EarlyStopping
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.words import did_you_mean
from orchestune.errors import BadInput, Problem
from orchestune.ports.pruner import Pruner
from orchestune.pruners.quantiles import QuantilePruner
from orchestune.pruners.rungs import BRACKETS, RungPruner
from orchestune.pruners.wilcoxon import WilcoxonPruner

REDUCTION = 2.0
"""the papers use 3 or 4; on real learning curves 2 loses less and saves nearly as much (docs/early-stopping.md)"""
SPACING = 4.0
"""factor between the steps of two comparisons of asha: at 1, 4, 16, … With 2 it prunes most trials of a few epochs
before their curves predict the end (docs/early-stopping.md)
"""

_MIN_STEP = 1e-100
"""lower bound, so that a step divided by it stays finite"""


def create(rule: EarlyStopping, metrics: Iterable[Metric]) -> Pruner:
    """Return a new pruner without history. Raises BadInput, see `check`."""
    metric = check(rule, metrics)
    first, interval = (max(number or 1.0, _MIN_STEP) for number in (rule.min_steps, rule.interval))
    reduction = rule.reduction or REDUCTION
    if rule.type in ("asha", "hyperband"):
        brackets = BRACKETS if rule.type == "hyperband" else 1
        return RungPruner(
            rule.type, metric, min_steps=first, reduction=reduction, spacing=spacing_of(rule), brackets=brackets
        )
    if rule.type == "wilcoxon":
        return WilcoxonPruner(metric, min_steps=first, interval=interval)
    reduction_of_percentile = reduction if rule.type == "percentile" else None
    return QuantilePruner(rule.type, metric, min_steps=first, interval=interval, reduction=reduction_of_percentile)


def spacing_of(rule: EarlyStopping) -> float:
    """Return the factor between the steps of two comparisons of asha or hyperband."""
    default = SPACING if rule.type == "asha" else REDUCTION
    return rule.reduction or default


def check(rule: EarlyStopping, metrics: Iterable[Metric]) -> Metric:
    """Return the metric that the rule evaluates.

    Raises BadInput for an unknown rule, metric or option, or an option out of range.
    """
    if rule.type not in TYPES:
        hint = did_you_mean(rule.type, TYPES) or f"rules: {', '.join(TYPES)}"
        raise BadInput([Problem(f"unknown rule '{rule.type}'", key="early_stopping.type", hint=hint)])
    problems = []
    for name, value in rule.numbers().items():
        minimum = 1 if name == "reduction" else 0
        if name not in OPTIONS[rule.type]:
            text, hint = (
                f"does not apply to the rule '{rule.type}'",
                (f"options: {', '.join(sorted(OPTIONS[rule.type]))}"),
            )
            problems.append(Problem(text, key=f"early_stopping.{name}", hint=hint))
        elif value <= minimum:
            problems.append(Problem(f"must be more than {minimum} (found {value:g})", key=f"early_stopping.{name}"))
    declared = {metric.name: metric for metric in metrics}
    name = rule.metric or next(iter(declared))
    if name not in declared:
        hint = f"declared metrics: {', '.join(declared)}"
        problems.append(Problem(f"unknown metric '{name}'", key="early_stopping.metric", hint=hint))
    if problems:
        raise BadInput(problems)
    return declared[name]
