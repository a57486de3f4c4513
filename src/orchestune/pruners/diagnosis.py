"""Explains why an early stopping rule prunes nothing, if its options or the trials' reports are the cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestune.domain.specification.early_stopping import OPTIONS, EarlyStopping
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners.registry import REDUCTION
from orchestune.pruners.wilcoxon import PAIRS

_BRIEF = 0.5
"""seconds; shorter trials may end before a value reaches the server and the stop order reaches the trial"""


@dataclass(frozen=True)
class TrialProgress:
    """The progress of a trial: its last step, the number of values reported, its duration."""

    step: float
    values: int
    seconds: float = math.inf
    """duration of the run"""


def why_idle(rule: EarlyStopping, metric: Metric, seen: Sequence[TrialProgress], budget: int) -> str | None:
    """Return why the rule cannot prune trials like these, which ran to their end; None if it can."""
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
        interval = rule.interval or 1.0
        second = first + interval if spaced else first * reduction
        enough = first + (PAIRS - 1) * interval if rule.type == "wilcoxon" else second
        longest = max(reached.seconds for reached in seen)
        if furthest < second:
            again = f"the next look is at step {second:g} (`{'interval' if spaced else 'reduction'}`)"
            why = f"it looks at step {first:g} alone: {again}, and the trials end at step {furthest:g}"
        elif furthest < enough:
            needed = f"its test needs {PAIRS} looks, the last of them at step {enough:g}"
            why = f"{needed} (`min_steps`, `interval`), and the trials end at step {furthest:g}"
        elif longest < _BRIEF:
            why = f"they are over within {longest:.2g} s, before they can be told to end"
        else:
            return None
    return f"early stopping ({rule.type}) has ended no trial: {why}"
