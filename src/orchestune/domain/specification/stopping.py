"""Stop rules of experiments, and guards that pause one before it wastes its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.specification.experiment import StopRules
from orchestune.domain.specification.metrics import Metric
from orchestune.domain.specification.unparsed_metrics import ambiguity_hint, similar_name, unparsed_hint
from orchestune.domain.words import most_similar, plural


@dataclass(frozen=True)
class SearchProgress:
    """Input of the stop rules, counted incrementally as trials finish, so that no rule scans trials."""

    budget: int
    finished: int
    completed: int
    failed: int
    open: int
    """queued or running"""
    best_value: float | None
    since_best: int
    """finished trials since the best value last improved; with several objectives, since the Pareto front last grew"""
    seconds: float
    """since the first lease"""
    exhausted: bool = False
    """no untried configuration is left, or none was found"""
    size: float = 0
    """number of configurations in the space if it can be counted; set only if exhausted"""
    front: bool = False
    """there are several objectives"""
    is_best_uncertain: bool = False
    """the best value is noisy, and the surrogate's expected value of the best trial is not available"""


@dataclass(frozen=True)
class Incumbent:
    """The best trial so far, as users see it, reduced to what the stop rules depend on."""

    value: float
    """its expected value under the surrogate, or its measured value"""
    finished: int
    """number of trials that had finished when it did, itself included"""


def ended(progress: SearchProgress, rules: StopRules, objective: Metric) -> Reason | None:
    """Return the stop rule that ends the experiment, None if none applies. Skips rules about an uncertain best."""
    best, target = progress.best_value, rules.target
    if progress.is_best_uncertain:
        rules = replace(rules, target=None, futile=None, patience=None)
    elif best is not None and target is not None and objective.reached(best, target):
        return Reason(ReasonCode.TARGET, f"{objective.name} reached {best:g}, the target was {target:g}")
    if rules.max_failures is not None and progress.failed >= rules.max_failures:
        return Reason(
            ReasonCode.MAX_FAILURES, f"{plural(progress.failed, 'trial')} failed, the limit is {rules.max_failures}"
        )
    if progress.exhausted and progress.open == 0:
        if progress.size <= progress.finished:
            message = f"every configuration of the space was tried ({progress.finished})"
        else:
            message = f"no untried configuration was found ({progress.finished} tried)"
        return Reason(ReasonCode.EXHAUSTED, message)
    if progress.finished >= progress.budget:
        return Reason(
            ReasonCode.BUDGET,
            "the only trial is finished" if progress.budget == 1 else f"all {progress.budget} trials are finished",
        )
    futile = rules.futile
    if futile is not None and progress.finished >= futile.after and not _reached(objective, best, futile.limit):
        after = f"{objective.name} after {plural(progress.finished, 'finished trial')}"
        if best is not None:
            return Reason(ReasonCode.FUTILE, f"{after}: {best:g} is {futile.side} {futile.limit:g}")
        none = "none satisfies every limit" if progress.completed else "none has completed"
        return Reason(ReasonCode.FUTILE, f"{after}: {none}")
    if rules.patience is not None and progress.completed and progress.since_best >= rules.patience:
        last = "trial" if progress.since_best == 1 else f"{progress.since_best} trials"
        missed = "no trial joined the Pareto front" if progress.front else f"no better {objective.name}"
        limits = "" if best is not None else ": none satisfies every limit"
        return Reason(ReasonCode.PATIENCE, f"{missed} in the last {last}{limits}")
    if rules.time is not None and progress.seconds >= rules.time:
        return Reason(ReasonCode.TIME, f"the time limit of {rules.time:g} s is reached")
    return None


def _reached(metric: Metric, best: float | None, limit: float) -> bool:
    return best is not None and metric.reached(best, limit)


BEST_DEPENDENT_CODES = frozenset({ReasonCode.TARGET, ReasonCode.FUTILE, ReasonCode.PATIENCE})
"""Reasons that depend on the best trial."""
FAILURE_CODES = frozenset({ReasonCode.MAX_FAILURES})
"""Reasons with which the experiment counts as failed."""


def missing_metric(
    name: str,
    reported: Mapping[str, float],
    declared: tuple[str, ...],
    files: Sequence[str] = (),
    *,
    of_function: bool = False,
    printed: str = "",
) -> str:
    """Return the error message for a command or function that succeeded without reporting a declared metric.

    `files` are the files in which `collect` looked for it; `printed` is the log tail.
    """
    who = "function" if of_function else "command"
    if not of_function and (explanation := unparsed_hint(name, printed)):
        return f"the {who} succeeded but never reported {name}: {explanation}"
    extra = {other: value for other, value in reported.items() if other not in declared}
    if not extra and files:
        absent = f"{' and '.join(files)}, named in `collect`, {'does' if len(files) == 1 else 'do'} not contain it"
        return f"the {who} succeeded but never reported {name}: {absent}"
    if not extra and of_function:
        example = "{" + ", ".join(f"'{other}': 0.5" for other in declared) + "}"
        example = f"a number or {example}" if len(declared) == 1 else example
        did = "never reported" if reported else "returned nothing and never reported"
        return f"the function {did} {name}; return {example}, or print `{name}=0.5`"
    if not extra:
        other = similar_name(name, printed)
        hint = f"saw {other}; did you mean {other}?" if other else f"print a line such as `{name}=0.5`"
        return f"the {who} succeeded but never reported {name}; {hint}"
    others = ", ".join(f"{other}={value:.6g}" for other, value in list(extra.items())[:5])
    close = most_similar(name, extra, 0.3) or (next(iter(extra)) if len(extra) == 1 else "")
    hint = f"; did you mean {close}?" if close else ""
    return f"the {who} succeeded but never reported {name}; saw {others}{hint}"


def not_finite(name: str, value: float, printed: str = "") -> str:
    """Return the error message for a metric whose value is not finite; `printed` is the log tail."""
    if explanation := ambiguity_hint(name, printed):
        return f"the value of {name} is ambiguous: {explanation}"
    return f"{name} is {value}; only finite values count"


@dataclass(frozen=True)
class GuardTrip:
    """Input of the guards after a trial has finished."""

    completed: int
    failed: int
    finished: int
    same_count: int
    """completed trials with identical metrics, counted from the first one"""
    metric_missing: str | None
    """message of `missing_metric` if this trial failed with it"""
    last_failure: str
    configurations: float
    """number of configurations in the space"""


def guard(outcomes: GuardTrip, passed: frozenset[str]) -> Reason | None:
    """Return the reason to pause the experiment, or None. `passed`: guards that the user overrode with `resume`."""
    code = ReasonCode.METRIC_MISSING_AT_FIRST
    if code not in passed and outcomes.metric_missing and not outcomes.completed:
        return Reason(code, outcomes.metric_missing)
    code = ReasonCode.FIRST_TRIALS_FAILED
    if code not in passed and not outcomes.completed and outcomes.failed == outcomes.finished >= 3:
        return Reason(code, f"the first {outcomes.failed} trials all failed; the last one: {outcomes.last_failure}")
    code = ReasonCode.IDENTICAL_METRICS
    if code not in passed and outcomes.same_count == outcomes.completed >= 5 and outcomes.configurations > 1:
        text = f"{outcomes.same_count} different configurations gave exactly the same metrics"
        return Reason(code, f"{text}; does the program use its parameters?")
    return None
