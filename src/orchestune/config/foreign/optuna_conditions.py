"""On what it depends that only some trials of a study have a parameter: found in the trials, since nothing says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestune.config.foreign.optuna_choices import in_words, single
from orchestune.config.sections.short_spelling import extended

_Found = Mapping[str, Sequence[BaseDistribution]]
_MOST_COUNTS = 16
"""whole numbers of a parameter that may decide whether another one is there: of many, some tell by chance"""


def with_conditions(
    spaces: dict[str, Any], found: _Found, trials: Sequence[FrozenTrial], notes: list[str]
) -> dict[str, Any]:
    """Conditions of what only some trials have: values of a parameter that all have, where these tell them apart."""
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    made, unknown, before = dict(spaces), list[str](), dict[str, Sequence[BaseDistribution]]()
    for name in spaces:
        having = [trial for trial in done if name in trial.params]
        lacking = [trial for trial in done if name not in trial.params]
        if lacking:
            condition = _of_choices(spaces, found, having, lacking) or _of_counts(before, having, lacking)
            if condition is None:
                unknown.append(name)
            else:
                made[name] = extended(spaces[name], {"when": condition})
                ((parent, values),) = condition.items()
                shown = " or ".join(map(str, values if isinstance(values, list) else [values]))
                taken = f"only trials with {parent} {shown} have it, which is taken as its condition"
                notes.append(f"parameters.{name}: {taken}")
        before[name] = found[name]
    if unknown:
        notes.append(f"not every trial has {', '.join(unknown)}: say with `when` on what that depends")
    return made


def _of_choices(
    spaces: Mapping[str, Any], found: _Found, having: Sequence[FrozenTrial], lacking: Sequence[FrozenTrial]
) -> dict[str, Any] | None:
    """The listed values of a parameter with which another one is there."""
    for parent, space in spaces.items():
        values = _values(parent, having, lacking) if isinstance(space, list) else None
        if values and not {*values[0]} & {*values[1]}:
            listed = list(dict.fromkeys(single(value, in_words(found[parent])) for value in values[0]))
            return {parent: listed[0] if len(listed) == 1 else listed}
    return None


def _of_counts(spaces: _Found, having: Sequence[FrozenTrial], lacking: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """The whole numbers from which on, or up to which, a parameter is there: the units of a third layer."""
    for parent, found in spaces.items():
        ranges = [one for one in found if isinstance(one, IntDistribution)]
        values = _values(parent, having, lacking) if len(ranges) == len(found) else None
        if not values:
            continue
        with_it, without = values
        every = sorted(
            {value for one in ranges for value in range(one.low, one.high + 1, one.step)[: _MOST_COUNTS + 1]}
        )
        if min(with_it) > max(without):
            chosen = [value for value in every if value >= min(with_it)]
        elif max(with_it) < min(without):
            chosen = [value for value in every if value <= max(with_it)]
        else:
            continue
        if len(every) <= _MOST_COUNTS:
            return {parent: chosen[0] if len(chosen) == 1 else chosen}
    return None


def _values(
    parent: str, having: Sequence[FrozenTrial], lacking: Sequence[FrozenTrial]
) -> tuple[list[Any], list[Any]] | None:
    """The parent's values in both; None where not all have it, or one of both is empty."""
    if not having or not lacking or not all(parent in trial.params for trial in [*having, *lacking]):
        return None
    return [trial.params[parent] for trial in having], [trial.params[parent] for trial in lacking]
