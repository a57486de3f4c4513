"""Inference of conditions: why only some trials of a study have a parameter, which Optuna does not store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestune.config.foreign.optuna_choices import in_words, single
from orchestune.config.sections.short_spelling import extended

_Distributions = Mapping[str, Sequence[BaseDistribution]]
_MAX_COUNTS = 16
"""maximum number of integers of a parameter in a condition: with more, some separate the trials by chance"""


def with_conditions(
    spaces: dict[str, Any], distributions: _Distributions, trials: Sequence[FrozenTrial], notes: list[str]
) -> dict[str, Any]:
    """Add a condition to each parameter that only some trials have.

    A condition is only added if values of another parameter separate these trials from the others.
    """
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    conditioned, unexplained, earlier = dict(spaces), list[str](), dict[str, Sequence[BaseDistribution]]()
    for name in spaces:
        having = [trial for trial in done if name in trial.params]
        lacking = [trial for trial in done if name not in trial.params]
        if lacking:
            condition = _of_choices(spaces, distributions, having, lacking) or _of_counts(earlier, having, lacking)
            if condition is None:
                unexplained.append(name)
            else:
                conditioned[name] = extended(spaces[name], {"when": condition})
                ((parent, values),) = condition.items()
                values_text = " or ".join(map(str, values if isinstance(values, list) else [values]))
                assumption = f"only trials with {parent} {values_text} have it; used as its condition"
                notes.append(f"parameters.{name}: {assumption}")
        earlier[name] = distributions[name]
    if unexplained:
        notes.append(f"not every trial has {', '.join(unexplained)}: add the condition with `when`")
    return conditioned


def _of_choices(
    spaces: Mapping[str, Any],
    distributions: _Distributions,
    having: Sequence[FrozenTrial],
    lacking: Sequence[FrozenTrial],
) -> dict[str, Any] | None:
    """Return the values of a categorical parameter for which another one is present."""
    for parent, space in spaces.items():
        values = _values(parent, having, lacking) if isinstance(space, list) else None
        if values and not {*values[0]} & {*values[1]}:
            choices = list(dict.fromkeys(single(value, in_words(distributions[parent])) for value in values[0]))
            return {parent: choices[0] if len(choices) == 1 else choices}
    return None


def _of_counts(
    spaces: _Distributions, having: Sequence[FrozenTrial], lacking: Sequence[FrozenTrial]
) -> dict[str, Any] | None:
    """Return the integers from which, or up to which, another is present, as for the units of a third layer."""
    for parent, distributions in spaces.items():
        ranges = [one for one in distributions if isinstance(one, IntDistribution)]
        values = _values(parent, having, lacking) if len(ranges) == len(distributions) else None
        if not values:
            continue
        with_it, without = values
        every = sorted({value for one in ranges for value in range(one.low, one.high + 1, one.step)[: _MAX_COUNTS + 1]})
        if min(with_it) > max(without):
            selected = [value for value in every if value >= min(with_it)]
        elif max(with_it) < min(without):
            selected = [value for value in every if value <= max(with_it)]
        else:
            continue
        if len(every) <= _MAX_COUNTS:
            return {parent: selected[0] if len(selected) == 1 else selected}
    return None


def _values(
    parent: str, having: Sequence[FrozenTrial], lacking: Sequence[FrozenTrial]
) -> tuple[list[Any], list[Any]] | None:
    """Return the parent's values in both groups of trials; None if it is absent in any trial, or a group is empty."""
    if not having or not lacking or not all(parent in trial.params for trial in [*having, *lacking]):
        return None
    return [trial.params[parent] for trial in having], [trial.params[parent] for trial in lacking]
