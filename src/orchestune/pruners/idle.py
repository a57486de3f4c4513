"""Why a rule of early stopping ends nothing, where that lies in its numbers or in what trials report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestune.domain.early_stopping import OPTIONS, EarlyStopping
from orchestune.domain.metrics import Metric
from orchestune.pruners.registry import REDUCTION


@dataclass(frozen=True)
class Reached:
    """How far a trial came: the last step, and how many values it reported."""

    step: float
    values: int


def why_idle(rule: EarlyStopping, metric: Metric, seen: Sequence[Reached], budget: int) -> str | None:
    """What keeps the rule from ending trials like these, which ran to their end; None where nothing does."""
    if not seen:
        return None
    furthest = max(reached.step for reached in seen)
    first = rule.min_steps or 1.0
    reduction = rule.reduction or REDUCTION
    if max(reached.values for reached in seen) < 2:
        why = f"each reports {metric.name} only once: a trial has to report it on its way"
    elif furthest < first:
        why = f"it looks from step {first:g} on (`min_steps`), and the trials end at step {furthest:g}"
    elif rule.type in ("asha", "hyperband") and reduction > budget:
        why = f"it compares from {reduction:g} trials on (`reduction`), and the budget is {budget}"
    else:
        spaced = "interval" in OPTIONS[rule.type]
        second = first + (rule.interval or 1.0) if spaced else first * reduction
        if furthest >= second:
            return None
        again = f"the next look is at step {second:g} (`{'interval' if spaced else 'reduction'}`)"
        why = f"it looks at step {first:g} alone: {again}, and the trials end at step {furthest:g}"
    return f"early stopping ({rule.type}) has ended no trial: {why}"
