"""Conversion of Hydra's overrides to parameters of an experiment and arguments of its command."""

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
"""the only supported tag"""


class Swept:
    """The search of a command line with these overrides: `parameters`, and the `words` of its command.

    `keys` maps each parameter to the key of its override, `example` are the overrides of one configuration. Raises
    UsageError if an override cannot be searched.
    """

    def __init__(self, overrides: Iterable[Override]) -> None:
        self.parameters: dict[str, Any] = {}
        self.words: list[str] = []
        self.keys: dict[str, str] = {}
        self.example: list[str] = []
        for override in overrides:
            key = override.get_key_element()
            space = _parameter(override) if override.is_sweep_override() else None
            if space is None:
                self.example.append(override.input_line or "")
                self.words.append(escape_braces(self.example[-1]))
                continue
            self.example.append(f"{key}={_plain(space[0] if isinstance(space, list) else space['min'])}")
            if isinstance(space, list) and len(space) == 1:
                self.words.append(escape_braces(self.example[-1]))
            else:
                name = re.sub(r"[^\w.\-/]", "_", key.lstrip("+"))
                if name in self.parameters:
                    raise UsageError(f"{self.keys[name]} and {key} are both the parameter {name}", "sweep one of them")
                self.parameters[name], self.keys[name] = space, key
                self.words.append(f"{escape_braces(key)}={{{name}}}")
        if not self.parameters:
            raise UsageError(
                "no override is a sweep", "write for example 'lr=tag(log, interval(1e-5, 1e-1))' opt=adam,sgd"
            )


def escape_braces(text: str) -> str:
    """Escape the braces of a word of a command, which would be placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def _parameter(override: Override) -> dict[str, Any] | list[Any]:
    """Convert a sweep override to a range or a list of values."""
    if override.is_delete():
        text, key = f"cannot sweep {override.input_line}: it removes a key", override.key_or_group
        raise UsageError(text, f"write ~{key} to remove it for every trial, or {key}=… to sweep it")
    value = override.value()
    tags = {tag.lower() for tag in getattr(value, "tags", ())}
    if tags - {_LOG}:
        _log.warning("%s: unsupported tags are ignored: %s", override.input_line, ", ".join(sorted(tags - {_LOG})))
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None
        assert high is not None
        if not low <= high:
            raise UsageError(f"{override.input_line}: the start {low} is more than the end {high}")
        if low == high:
            return [low]
        kind = "int" if {type(low), type(high)} == {int} else "float"
        return {"type": kind, "min": low, "max": high, "log": _LOG in tags}
    if isinstance(value, RangeSweep) and _LOG not in tags:
        return _stepped_range(override, value)
    values = list(override.sweep_iterator(transformer=_value_or_text))
    if isinstance(value, RangeSweep) and value.step == 1 and all(isinstance(item, int) for item in values) and values:
        return {"type": "int", "min": values[0], "max": values[-1], "log": True}
    return _unique(override, values)


def _stepped_range(override: Override, value: RangeSweep) -> dict[str, Any] | list[Any]:
    """Convert a range with steps to an ordered parameter, so that the engine knows which values are close."""
    values = _unique(override, sorted(value.range()))
    if len(values) < 2:
        return values
    step = abs(decimal.Decimal(str(value.step)))
    kind = int if all(isinstance(item, int) for item in values) else float
    return {"type": kind.__name__, "min": values[0], "max": values[-1], "step": kind(step)}


def _unique(override: Override, values: list[Any]) -> list[Any]:
    if not values:
        raise UsageError(f"{override.input_line} has no values")
    return list({(type(value) is bool, value): value for value in values}.values())  # each value is a choice only once


def _value_or_text(value: Any) -> Any:
    """Return a number or boolean unchanged, anything else as Hydra writes it after `=`, with commas escaped."""
    return value if isinstance(value, (bool, int, float)) and math.isfinite(value) else Transformer.str(value)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
