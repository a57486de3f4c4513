"""Explains why an early stopping rule prunes nothing, if its options or the trials' reports are the cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestune.domain.specification.early_stopping import OPTIONS, EarlyStopping
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners.registry import REDUCTION, spacing_of
from orchestune.pruners.wilcoxon import PAIRS

_MIN_RUN_SECONDS = 0.5
"""seconds; shorter trials may end before a value reaches the server and the stop order reaches the trial"""


@dataclass(frozen=True)
class TrialProgress:
    """The progress of a trial: its last step, the number of values reported, its duration."""

    step: float
    values: int
    seconds: float = math.inf
    """duration of the run"""


def why_idle(rule: EarlyStopping, metric: Metric, trials: Sequence[TrialProgress], budget: int) -> str | None:
    """Return why the rule cannot prune trials like these, which ran to their end; None if it can."""
    if not trials:
        return None
    furthest = max(reached.step for reached in trials)
    first = rule.min_steps or 1.0
    reduction = rule.reduction or REDUCTION
    if max(reached.values for reached in trials) < 2:
        cause = f"each reports {metric.name} only once: a trial has to report it while running"
    elif furthest < first:
        cause = f"it compares from step {first:g} on (`min_steps`), and the trials end at step {furthest:g}"
    elif rule.type in ("asha", "hyperband") and reduction > budget:
        cause = f"it compares from {reduction:g} trials on (`reduction`), and the budget is {budget}"
    else:
        spaced = "interval" in OPTIONS[rule.type]
        interval = rule.interval or 1.0
        second = first + interval if spaced else first * spacing_of(rule)
        required_step = first + (PAIRS - 1) * interval if rule.type == "wilcoxon" else second
        longest = max(reached.seconds for reached in trials)
        if furthest < second:
            next_step = f"the next comparison is at step {second:g} (`{'interval' if spaced else 'reduction'}`)"
            cause = f"it compares only at step {first:g}: {next_step}, and the trials end at step {furthest:g}"
        elif furthest < required_step:
            requirement = f"its test needs {PAIRS} comparisons, the last at step {required_step:g}"
            cause = f"{requirement} (`min_steps`, `interval`), and the trials end at step {furthest:g}"
        elif longest < _MIN_RUN_SECONDS:
            cause = f"they end within {longest:.2g} s, before a stop order reaches them"
        else:
            return None
    return f"early stopping ({rule.type}) has pruned no trial: {cause}"
