"""Hydra's overrides as parameters of an experiment, and as words of the command that a trial runs."""

from __future__ import annotations

import decimal
import logging
import math
import re
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer

from orchestune.errors import UsageError

_log = logging.getLogger(__name__)
_LOG = "log"
"""the one tag that has a meaning"""


class Swept:
    """What a command line with these overrides searches: `parameters`, and the `words` of its command.

    `keys` has for each parameter what stands before `=` in its override, `example` the overrides of one configuration.
    UsageError for what cannot be searched.
    """

    def __init__(self, overrides: Iterable[Override]) -> None:
        self.parameters: dict[str, Any] = {}
        self.words: list[str] = []
        self.keys: dict[str, str] = {}
        self.example: list[str] = []
        for override in overrides:
            key = override.get_key_element()
            found = _parameter(override) if override.is_sweep_override() else None
            if found is None:
                self.example.append(override.input_line or "")
                self.words.append(literally(self.example[-1]))
                continue
            self.example.append(f"{key}={_plain(found[0] if isinstance(found, list) else found['min'])}")
            if isinstance(found, list) and len(found) == 1:
                self.words.append(literally(self.example[-1]))
            else:
                name = re.sub(r"[^\w.\-/]", "_", key.lstrip("+"))
                if name in self.parameters:
                    raise UsageError(f"{self.keys[name]} and {key} are both the parameter {name}", "sweep one of them")
                self.parameters[name], self.keys[name] = found, key
                self.words.append(f"{literally(key)}={{{name}}}")
        if not self.parameters:
            raise UsageError(
                "nothing is to be searched", "for example 'lr=tag(log, interval(1e-5, 1e-1))' opt=adam,sgd"
            )


def literally(text: str) -> str:
    """The text as a word of a command, in which braces hold placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def _parameter(override: Override) -> dict[str, Any] | list[Any]:
    """A range, or the values to choose from."""
    if override.is_delete():
        text, key = f"{override.input_line} removes a key, which cannot be searched", override.key_or_group
        raise UsageError(text, f"~{key} removes it for every trial, {key}=… searches it")
    value = override.value()
    tags = {tag.lower() for tag in getattr(value, "tags", ())}
    if tags - {_LOG}:
        _log.warning("%s: %s has no meaning here", override.input_line, ", ".join(sorted(tags - {_LOG})))
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None
        assert high is not None
        if not low <= high:
            raise UsageError(f"{override.input_line} begins at {low}, which is more than {high}")
        if low == high:
            return [low]
        kind = "int" if {type(low), type(high)} == {int} else "float"
        return {"type": kind, "min": low, "max": high, "log": _LOG in tags}
    if isinstance(value, RangeSweep) and _LOG not in tags:
        return _stepped(override, value)
    values = list(override.sweep_iterator(transformer=_written))
    if isinstance(value, RangeSweep) and value.step == 1 and all(isinstance(item, int) for item in values) and values:
        return {"type": "int", "min": values[0], "max": values[-1], "log": True}
    return _checked(override, values)


def _stepped(override: Override, value: RangeSweep) -> dict[str, Any] | list[Any]:
    """A range whose values are in order, so that an engine knows which are close to each other."""
    values = _checked(override, sorted(value.range()))
    if len(values) < 2:
        return values
    step = abs(decimal.Decimal(str(value.step)))
    kind = int if all(isinstance(item, int) for item in values) else float
    return {"type": kind.__name__, "min": values[0], "max": values[-1], "step": kind(step)}


def _checked(override: Override, values: list[Any]) -> list[Any]:
    if not values:
        raise UsageError(f"{override.input_line} stands for no value")
    return list({(type(value) is bool, value): value for value in values}.values())  # a value is a choice but once


def _written(value: Any) -> Any:
    """A number or a truth value as it is, anything else as it is written behind `=`, commas escaped."""
    return value if isinstance(value, (bool, int, float)) and math.isfinite(value) else Transformer.str(value)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
