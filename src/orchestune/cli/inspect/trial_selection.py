"""Order and conditions of the trials that `trials` lists."""

from __future__ import annotations

import argparse
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from orchestune.client.attempts import seconds
from orchestune.domain.search.parameters import as_written
from orchestune.domain.words import brief_list, did_you_mean
from orchestune.errors import UsageError

if TYPE_CHECKING:
    from orchestune import documents

_CONDITION = re.compile(r"\s*(?P<name>[^<>=!]+?)\s*(?P<sign><=|>=|!=|==?|<|>)\s*(?P<operand>.+?)\s*", re.DOTALL)
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}
)
_PLAIN_COLUMNS = ("number", "seconds")
"""columns besides metrics and parameters"""
_PREFIXES = ("metrics.", "parameters.")


@dataclass(frozen=True)
class Condition:
    """A comparison of a value of a trial with a constant."""

    name: str
    sign: str
    operand: str

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return True if the trial has the value and the comparison is true, of numbers as numbers, else as text.

        Raises UsageError if text is to be compared by order.
        """
        if self.name not in values:
            return False
        value, number = values[self.name], _number(self.operand)
        if number is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
            return _COMPARISONS[self.sign](value, number)
        if self.sign not in ("=", "!="):
            text = f"--where: cannot compare {self.name} by {self.sign}: {as_written(value)!r} and {self.operand!r}"
            raise UsageError(f"{text} (expected numbers)", f"use = or !=, such as '{self.name}={as_written(value)}'")
        return _COMPARISONS[self.sign](as_written(value), self.operand)


def condition(text: str) -> Condition:
    """Parse `lr<0.01` or `optimizer=adam`; raises ArgumentTypeError."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' (expected a comparison such as 'lr<0.01' or 'optimizer=adam')")
    return Condition(match["name"], match["sign"].replace("==", "="), match["operand"].strip("'\""))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def matching(trials: Iterable[documents.Trial], conditions: Sequence[Condition]) -> Iterator[documents.Trial]:
    """Yield the trials that meet all conditions.

    Raises UsageError after the last trial if no trial has a value of that name: it is probably misspelled.
    """
    names: dict[str, None] = {}
    for trial in trials:
        values = _values(trial) if conditions else {}
        names |= dict.fromkeys(values)
        if all(each.holds(values) for each in conditions):
            yield trial
    unknown = next((each.name for each in conditions if each.name not in names), None)
    if names and unknown is not None:
        known = [name for name in names if not name.startswith(_PREFIXES)]
        hint = did_you_mean(unknown, known) or f"there are values of {brief_list(known)}"
        raise UsageError(f"--where: no trial has a value of '{unknown}'", hint)


def _values(trial: documents.Trial) -> dict[str, Any]:
    """Return the values of a trial by name; metrics precede parameters of the same name, which have a long name too."""
    metrics = {name: measured["value"] for name, measured in trial["metrics"].items()}
    parameters = dict(trial["parameters"])
    took = seconds(trial)
    return {
        "number": trial["number"],
        **({} if took is None else {"seconds": took}),
        **parameters,
        **metrics,
        **{f"parameters.{name}": value for name, value in parameters.items()},
        **{f"metrics.{name}": value for name, value in metrics.items()},
    }


def column(name: str, metrics: Sequence[documents.Metric], parameters: Callable[[], Sequence[str]]) -> str:
    """Return the server's sort key of a column: metrics with the best value first, unless `name` starts with `-`.

    `parameters` returns their names; it is called for a name that is no declared metric. Others may be metrics that
    trials report without a declaration; their smallest value comes first.
    """
    reverse, name = name.startswith("-"), name.removeprefix("-")
    goals = {metric["name"]: metric["goal"] for metric in metrics}
    declared = name.removeprefix("metrics.")
    if declared in goals:
        return _key(f"metrics.{declared}", reverse != (goals[declared] == "maximize"))
    if name in _PLAIN_COLUMNS or name.startswith(_PREFIXES):
        return _key(name, reverse)
    return _key(f"parameters.{name}" if name in parameters() else f"metrics.{name}", reverse)


def _key(name: str, reverse: bool) -> str:
    return f"{'-' * reverse}{name}"
